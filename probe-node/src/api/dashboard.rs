//! The dashboard's files, embedded when the program was built.
//!
//! Files that `scripts/build-ui` compressed are sent compressed to clients that accept it.

use super::error::ApiError;
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
use std::{collections::BTreeMap, sync::Arc};

static FILES: Dir<'static> = include_dir!("$OUT_DIR/dashboard");
const INDEX: &str = "index.html";

/// The suffix of the compressed form of a file.
const GZIP_SUFFIX: &str = ".gz";

/// The dashboard's files by path.
pub(super) struct Dashboard {
    files: BTreeMap<String, File>,
}

struct File {
    content: &'static [u8],
    /// The same content compressed, if the build compressed it.
    compressed: Option<&'static [u8]>,
    content_type: &'static str,
    etag: String,
}

impl Dashboard {
    /// Returns the dashboard embedded in this program.
    pub(super) fn embedded() -> Self {
        let mut files = BTreeMap::new();
        collect(&FILES, &mut files);
        let compressed = files.extract_if(.., |path, _| path.ends_with(GZIP_SUFFIX)).collect::<Vec<_>>();
        for (path, file) in compressed {
            if let Some(plain) = files.get_mut(path.trim_end_matches(GZIP_SUFFIX)) {
                plain.compressed = Some(file.content);
            }
        }
        Self { files }
    }

    /// Returns the content security policy of the page.
    ///
    /// It allows the page's own files, WebAssembly, and exactly the inline scripts and styles that
    /// were built into the page.
    pub(super) fn content_security_policy(&self) -> String {
        let page = self.files.get(INDEX).map_or("", |file| std::str::from_utf8(file.content).unwrap_or(""));
        let scripts = inline_hashes(page, "script");
        let styles = inline_hashes(page, "style");
        format!(
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{scripts}; style-src 'self'{styles}; \
             img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        )
    }

    /// Returns the file at a path, or the index for the path of one of the dashboard's pages.
    fn find(&self, path: &str) -> Option<&File> {
        let path = path.trim_start_matches('/');
        self.files.get(path).or_else(|| {
            let is_page = !path.starts_with("api/") && !path.contains('.');
            if is_page { self.files.get(INDEX) } else { None }
        })
    }
}

/// Serves a file of the dashboard.
///
/// Browsers revalidate it on each use, so that an update of the program takes effect at once.
pub(super) async fn serve_file(
    State(dashboard): State<Arc<Dashboard>>,
    request: Request,
) -> Result<Response, ApiError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed());
    }
    let file = dashboard.find(request.uri().path()).ok_or_else(ApiError::not_found)?;
    let unchanged =
        request.headers().get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == file.etag.as_bytes());
    let mut response = Response::builder().header(ETAG, &file.etag).header(CACHE_CONTROL, "no-cache");
    if file.compressed.is_some() {
        response = response.header(VARY, "Accept-Encoding");
    }
    let response = if unchanged {
        response.status(StatusCode::NOT_MODIFIED).body(Body::empty())
    } else if let Some(compressed) = file.compressed.filter(|_| accepts_gzip(request.headers())) {
        let response = response.header(CONTENT_TYPE, file.content_type).header(CONTENT_ENCODING, "gzip");
        response.body(Body::from(compressed))
    } else {
        response.header(CONTENT_TYPE, file.content_type).body(Body::from(file.content))
    };
    response.map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("The file cannot be served: {error}."))
    })
}

/// Returns true if the client accepts gzip (RFC 9110, section 12.5.3); a weight of zero refuses it.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn collect(dir: &'static Dir<'static>, files: &mut BTreeMap<String, File>) {
    for file in dir.files() {
        // The path separator is that of the system the program was built on.
        let path: Vec<_> = file.path().iter().map(|part| part.to_string_lossy()).collect();
        let path = path.join("/");
        let content = file.contents();
        let etag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(content)[..16]));
        files.insert(
            path.clone(),
            File { content, compressed: None, content_type: content_type(&path), etag },
        );
    }
    for dir in dir.dirs() {
        collect(dir, files);
    }
}

fn content_type(path: &str) -> &'static str {
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

/// Returns the hashes of a page's inline elements of one name, as a policy lists them.
///
/// It finds plain, lower-case elements only, which is what Trunk writes.
fn inline_hashes(page: &str, element: &str) -> String {
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
        assert_eq!(inline_hashes(page, "script"), " 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='");
        assert_eq!(inline_hashes("<script src=\"a.js\"></script>", "script"), "");
        assert!(!Dashboard::embedded().content_security_policy().contains("unsafe-inline"));
    }

    #[test]
    fn gzip_is_sent_to_clients_that_accept_it() {
        let accepts = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, text.parse().unwrap());
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip") && accepts("br, gzip;q=0.5") && accepts("deflate, GZip"));
        assert!(!accepts("") && !accepts("br") && !accepts("gzip;q=0") && !accepts("gzip; q=0.0, br"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn pages_are_served_by_the_index_and_missing_files_are_not() {
        let dashboard = Dashboard::embedded();
        for path in ["/", "/nodes", "/incidents"] {
            assert_eq!(dashboard.find(path).unwrap().content_type, "text/html; charset=utf-8", "{path}");
        }
        for path in ["/missing.js", "/api/v1/unknown", "/../Cargo.toml"] {
            assert!(dashboard.find(path).is_none(), "{path}");
        }
    }
}
