//! Checks that every text of the style sheet is readable on its background, in both colour schemes
//! (WCAG 2.2, 1.4.3 and 1.4.11).

use std::collections::BTreeMap;

const TOKENS: &str = include_str!("../../style/tokens.css");

/// Each text colour with the backgrounds it is used on.
const READABLE: [(&str, &[&str]); 12] = [
    ("text", &["ground", "surface", "sunken", "safe-soft", "danger-soft", "caution-soft", "off-soft"]),
    ("muted", &["ground", "surface", "sunken", "safe-soft", "danger-soft", "caution-soft", "off-soft"]),
    ("accent", &["ground", "surface", "accent-soft"]),
    ("accent-text", &["accent"]),
    ("safe", &["surface", "safe-soft"]),
    ("danger", &["surface", "danger-soft"]),
    ("danger-text", &["danger-ground"]),
    ("caution", &["surface", "caution-soft"]),
    ("off", &["surface", "off-soft"]),
    // The signs inside the shapes.
    ("surface", &["safe", "caution"]),
    ("safe-soft", &["safe"]),
    ("caution-soft", &["caution"]),
];

/// Returns the colours of one scheme; the dark one overrides the light one.
fn read_scheme(dark: bool) -> BTreeMap<&'static str, [f64; 3]> {
    let (light, rest) = TOKENS.split_once("@media (prefers-color-scheme: dark)").expect("a dark scheme");
    let parts = if dark { vec![light, rest] } else { vec![light] };
    parts.into_iter().flat_map(str::lines).filter_map(parse_colour).collect()
}

fn parse_colour(line: &'static str) -> Option<(&'static str, [f64; 3])> {
    let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
    let channel = |place: usize| u8::from_str_radix(value.get(place..place + 2)?, 16).ok().map(f64::from);
    Some((name, [channel(0)?, channel(2)?, channel(4)?]))
}

fn luminance(colour: [f64; 3]) -> f64 {
    let linear = colour.map(|channel| {
        let share = channel / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_is_readable_on_its_background_in_both_schemes() {
    assert!((contrast([0.0; 3], [255.0; 3]) - 21.0).abs() < 1e-9);
    let mut poor = Vec::new();
    for dark in [false, true] {
        let colours = read_scheme(dark);
        for (text, grounds) in READABLE {
            for ground in grounds {
                let ratio = contrast(colours[text], colours[ground]);
                if ratio < 4.5 {
                    poor.push(format!("{text} on {ground}, dark: {dark}: {ratio:.2}"));
                }
            }
        }
    }
    assert!(poor.is_empty(), "{poor:#?}");
}
