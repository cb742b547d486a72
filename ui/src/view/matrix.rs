//! Who saw what: voices down, facts across.

use sentinel_model::{Agreement, ExitView, Family, Micros, Outcome, Source, Voice, VoiceView};

/// What one voice saw over one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Whether it agrees with the others.
    pub agreement: Agreement,
    /// The address, or why there is none.
    pub text: String,
    /// The owner of the address.
    pub owner: Option<String>,
}

/// One voice, with what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The voice.
    pub source: Source,
    /// Its name.
    pub name: String,
    /// What it saw over IPv4; `None` if it was not asked.
    pub v4: Option<Cell>,
    /// What it saw over IPv6.
    pub v6: Option<Cell>,
    /// The last round trip to it, over IPv4 if there is one.
    pub rtt: Option<Micros>,
}

impl Row {
    /// Returns true for one of the user's own nodes.
    pub fn is_own_node(&self) -> bool {
        matches!(self.source, Source::Node(_))
    }
}

/// Returns a row per voice: own nodes first, each group in the order in which the exits list them.
pub fn matrix_rows(exits: &[ExitView]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for exit in exits {
        for view in &exit.voices {
            let cell = Some(cell(view));
            let row = find_or_add_row(&mut rows, &view.voice);
            row.rtt = row.rtt.or(view.rtt);
            match exit.family {
                Family::V4 => row.v4 = cell,
                Family::V6 => row.v6 = cell,
            }
        }
    }
    let (mut own, others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(Row::is_own_node);
    own.extend(others);
    own
}

fn find_or_add_row<'rows>(rows: &'rows mut Vec<Row>, voice: &Voice) -> &'rows mut Row {
    let place = rows.iter().position(|row| row.source == voice.source).unwrap_or_else(|| {
        let row =
            Row { source: voice.source.clone(), name: voice.name.clone(), v4: None, v6: None, rtt: None };
        rows.push(row);
        rows.len() - 1
    });
    &mut rows[place]
}

fn cell(view: &VoiceView) -> Cell {
    let (text, owner) = match &view.saw {
        Outcome::Measured(seen) => (seen.address.to_string(), seen.owner.as_ref().map(ToString::to_string)),
        Outcome::Unknown(reason) => (reason.to_string(), None),
    };
    Cell { agreement: view.agreement, text, owner }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::samples::{attributed, voice_view};
    use sentinel_model::Timestamp;

    fn exit(family: Family, voices: Vec<VoiceView>) -> ExitView {
        let address = Outcome::Measured(attributed("203.0.113.12", None));
        ExitView { family, address, is_home: None, since: Timestamp(0), voices }
    }

    #[test]
    fn each_voice_has_one_row_and_own_nodes_come_first() {
        let seen = attributed("203.0.113.12", None);
        let mut service = voice_view("stun.example", Agreement::Agrees, Some(&seen));
        service.voice.source = Source::Service("stun.example".into());
        let node = voice_view("vps", Agreement::Disagrees, Some(&seen));
        let silent = voice_view("vps", Agreement::Silent, None);
        let rows = matrix_rows(&[exit(Family::V4, vec![service, node]), exit(Family::V6, vec![silent])]);
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["vps", "stun.example"]);
        assert_eq!(rows[0].v4.as_ref().map(|cell| cell.agreement), Some(Agreement::Disagrees));
        assert_eq!(rows[0].v6.as_ref().map(|cell| cell.text.as_str()), Some("no answer in time"));
        assert_eq!(rows[0].rtt, Some(Micros(20_000)));
        assert_eq!(rows[1].v6, None);
    }
}
