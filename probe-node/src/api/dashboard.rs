//! The dashboard's files, embedded when the program was built. What `scripts/build-ui` compressed beforehand is sent
//! compressed to whoever takes it.

use super::{Node, problem::Problem};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, Method, StatusCode,
        header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
    },
    response::Response,
};
use data_encoding::{BASE64, HEXLOWER};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

static FILES: Dir<'static> = include_dir!("$OUT_DIR/dashboard");
const INDEX: &str = "index.html";
/// What the compressed form of a file ends with.
const GZIP: &str = ".gz";

/// The dashboard's files by path.
pub(super) struct Dashboard {
    files: BTreeMap<String, File>,
}

struct File {
    content: &'static [u8],
    /// The same compressed, where that was done.
    compressed: Option<&'static [u8]>,
    kind: &'static str,
    etag: String,
}

impl Dashboard {
    /// The one in this program.
    pub(super) fn embedded() -> Self {
        let mut files = BTreeMap::new();
        collect(&FILES, &mut files);
        let compressed = files.extract_if(.., |path, _| path.ends_with(GZIP)).collect::<Vec<_>>();
        for (path, file) in compressed {
            if let Some(plain) = files.get_mut(path.trim_end_matches(GZIP)) {
                plain.compressed = Some(file.content);
            }
        }
        Self { files }
    }

    /// Only the page's own files, WebAssembly, and exactly those inline scripts and styles that were built into the page.
    pub(super) fn content_security_policy(&self) -> String {
        let page = self.files.get(INDEX).map_or("", |file| std::str::from_utf8(file.content).unwrap_or(""));
        let scripts = hashes(page, "script");
        let styles = hashes(page, "style");
        format!(
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{scripts}; style-src 'self'{styles}; \
             img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        )
    }

    /// A file, or the page itself for an address of one of the dashboard's pages.
    fn find(&self, path: &str) -> Option<&File> {
        let path = path.trim_start_matches('/');
        self.files.get(path).or_else(|| {
            let is_page = !path.starts_with("api/") && !path.contains('.');
            if is_page { self.files.get(INDEX) } else { None }
        })
    }
}

/// Serves a file. The browser asks each time whether it has changed, which after an update it has.
pub(super) async fn serve(State(node): State<Node>, request: Request) -> Result<Response, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::not_allowed());
    }
    let file = node.dashboard.find(request.uri().path()).ok_or_else(Problem::not_found)?;
    let unchanged =
        request.headers().get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == file.etag.as_bytes());
    let mut response = Response::builder().header(ETAG, &file.etag).header(CACHE_CONTROL, "no-cache");
    if file.compressed.is_some() {
        response = response.header(VARY, "Accept-Encoding");
    }
    let response = if unchanged {
        response.status(StatusCode::NOT_MODIFIED).body(Body::empty())
    } else if let Some(compressed) = file.compressed.filter(|_| takes_gzip(request.headers())) {
        let response = response.header(CONTENT_TYPE, file.kind).header(CONTENT_ENCODING, "gzip");
        response.body(Body::from(compressed))
    } else {
        response.header(CONTENT_TYPE, file.kind).body(Body::from(file.content))
    };
    response.map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("The file cannot be served: {error}."))
    })
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3); a weight of nothing means that it does not.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn collect(dir: &'static Dir<'static>, files: &mut BTreeMap<String, File>) {
    for file in dir.files() {
        // Separators differ by the system the program was built on.
        let path: Vec<_> = file.path().iter().map(|part| part.to_string_lossy()).collect();
        let path = path.join("/");
        let content = file.contents();
        let etag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(content)[..16]));
        files.insert(path.clone(), File { content, compressed: None, kind: kind(&path), etag });
    }
    for dir in dir.dirs() {
        collect(dir, files);
    }
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json" | "webmanifest") => "application/json",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The hashes of a page's inline elements of one name, as a policy lists them. Trunk writes plain, lower-case elements.
fn hashes(page: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}"), format!("</{element}>"));
    let inline = page
        .split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once('>'))
        .filter_map(|(_, rest)| rest.split_once(&close))
        .filter(|(content, _)| !content.is_empty());
    inline.fold(String::new(), |policy, (content, _)| {
        policy + " 'sha256-" + &BASE64.encode(&Sha256::digest(content.as_bytes())) + "'"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_scripts_are_allowed_by_their_hash_and_nothing_else_is() {
        let page =
            "<script src=\"a.js\"></script><script type=\"module\">alert(1)</script><style>b{}</style>";
        // printf 'alert(1)' | openssl dgst -sha256 -binary | base64
        assert_eq!(hashes(page, "script"), " 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='");
        assert_eq!(hashes("<script src=\"a.js\"></script>", "script"), "");
        assert!(!Dashboard::embedded().content_security_policy().contains("unsafe-inline"));
    }

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        let takes = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, text.parse().unwrap());
            takes_gzip(&headers)
        };
        assert!(takes("gzip") && takes("br, gzip;q=0.5") && takes("deflate, GZip"));
        assert!(!takes("") && !takes("br") && !takes("gzip;q=0") && !takes("gzip; q=0.0, br"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn pages_lead_to_the_index_and_missing_files_do_not() {
        let dashboard = Dashboard::embedded();
        for path in ["/", "/nodes", "/incidents"] {
            assert_eq!(dashboard.find(path).unwrap().kind, "text/html; charset=utf-8", "{path}");
        }
        for path in ["/missing.js", "/api/v1/unknown", "/../Cargo.toml"] {
            assert!(dashboard.find(path).is_none(), "{path}");
        }
    }
}
