//! The real program on a state directory of its own, and a client small enough to send what no decent client would.
#![allow(dead_code, reason = "each test binary uses some of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it likes")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Long enough for a loaded machine; a test that passes does not wait for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program, without anything inherited that would change what it does.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vpnsentinel-node"));
    command.env_remove("VPNSENTINEL_CONFIG").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// What it printed and how it ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs it to its end.
pub fn say(arguments: &[&str]) -> Said {
    program().args(arguments).output().unwrap().into()
}

/// Runs it with this configuration to its end.
pub fn say_with(config: &Path, arguments: &[&str]) -> Said {
    program().arg("--config").arg(config).args(arguments).output().unwrap().into()
}

/// A directory with a configuration that asks nobody anything.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Writes a configuration with this `[api]` section and returns its path.
    pub fn config(&self, name: &str, api: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let state = self.dir.path().join("state");
        let text = format!(
            "name = \"test\"\nstate_dir = {:?}\npast_tunnel = \"off\"\n[services]\nconsent = false\n[cadence]\nround = \"2s\"\n[api]\n{api}\n",
            state.display().to_string()
        );
        fs::write(&path, text).unwrap();
        path
    }
}

/// A running node. It is killed when the test is done with it.
pub struct Node {
    child: Child,
    pub place: Place,
    pub address: String,
    /// A configuration that leads commands to this node.
    pub config: PathBuf,
}

impl Node {
    /// Starts one on a free port of loopback.
    pub fn start() -> Self {
        Self::start_with("listen = \"127.0.0.1:0\"")
    }

    /// Starts one with this `[api]` section.
    pub fn start_with(api: &str) -> Self {
        let place = Place::new();
        let config = place.config("node.toml", api);
        let log = fs::File::create(place.dir.path().join("log")).unwrap();
        let mut child = program()
            .arg("--config")
            .arg(&config)
            .arg("run")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let Some((_, rest)) = first.split_once("http://") else {
            panic!("it did not start: {}", fs::read_to_string(place.dir.path().join("log")).unwrap());
        };
        let address = rest.trim().trim_end_matches('/').to_owned();
        let port = address.rsplit_once(':').unwrap().1;
        let token = api.lines().find(|line| line.starts_with("token_file")).unwrap_or("");
        let config = place.config("client.toml", &format!("listen = \"127.0.0.1:{port}\"\n{token}"));
        Self { child, place, address: format!("127.0.0.1:{port}"), config }
    }

    /// Runs a command against it.
    pub fn say(&self, arguments: &[&str]) -> Said {
        say_with(&self.config, arguments)
    }

    /// A GET request with these headers beside the right host.
    pub fn get(&self, path: &str, headers: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n",
            self.address
        ))
    }

    /// A GET request whose body need not be text: head and body.
    pub fn get_bytes(&self, path: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = self.connect(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n",
            self.address
        ));
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let body = bytes.split_off(end + 4);
        (String::from_utf8(bytes).unwrap(), body)
    }

    /// A POST request of JSON.
    pub fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: \
             close\r\n\r\n{body}",
            self.address,
            body.len()
        ))
    }

    /// Sends these bytes and reads the whole answer.
    pub fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect(request);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        Answer::of(&text)
    }

    /// Sends these bytes and leaves the rest to the test.
    pub fn connect(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Asks it to stop the way a service manager does; how long that took, and whether it ended well.
    #[cfg(unix)]
    pub fn stop(&mut self) -> (Duration, bool) {
        let asked = Instant::now();
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let ended = self.child.wait().unwrap();
        (asked.elapsed(), ended.success())
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.dir.path().join("log")).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The sentence of an error.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}
