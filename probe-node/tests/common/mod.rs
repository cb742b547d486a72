//! The real program on a state directory of its own, and a client that can send malformed requests.
#![allow(dead_code, reason = "each test binary uses only a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The deadline of every wait, long enough for a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Returns the program without environment variables that would change what it does.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vpnsentinel-node"));
    command.env_remove("VPNSENTINEL_CONFIG").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// What a command printed, and its exit code.
pub struct CommandOutput {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> CommandOutput {
    program().args(arguments).output().unwrap().into()
}

/// Runs a command with this configuration to its end.
pub fn run_with_config(config: &Path, arguments: &[&str]) -> CommandOutput {
    program().arg("--config").arg(config).args(arguments).output().unwrap().into()
}

/// A directory with a configuration that contacts no one.
pub struct TestDirectory {
    dir: TempDir,
}

impl TestDirectory {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a configuration with this `[api]` section and returns its path.
    pub fn config(&self, name: &str, api: &str) -> PathBuf {
        let path = self.path().join(name);
        let state = self.path().join("state");
        let text = format!(
            "name = \"test\"\nstate_dir = {:?}\npast_tunnel = \"off\"\n[services]\nconsent = false\n[cadence]\nround = \"2s\"\n[api]\n{api}\n",
            state.display().to_string()
        );
        fs::write(&path, text).unwrap();
        path
    }
}

/// A running node, killed when it is dropped.
pub struct Node {
    child: Child,
    pub directory: TestDirectory,
    pub address: String,
    /// A configuration with which commands reach this node.
    pub config: PathBuf,
}

impl Node {
    /// Starts a node on a free loopback port.
    pub fn start() -> Self {
        Self::start_with("listen = \"127.0.0.1:0\"")
    }

    /// Starts a node with this `[api]` section.
    pub fn start_with(api: &str) -> Self {
        let directory = TestDirectory::new();
        let config = directory.config("node.toml", api);
        let log = fs::File::create(directory.path().join("log")).unwrap();
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
            panic!("the node did not start: {}", fs::read_to_string(directory.path().join("log")).unwrap());
        };
        let address = rest.trim().trim_end_matches('/').to_owned();
        let port = address.rsplit_once(':').unwrap().1;
        let token = api.lines().find(|line| line.starts_with("token_file")).unwrap_or("");
        let config = directory.config("client.toml", &format!("listen = \"127.0.0.1:{port}\"\n{token}"));
        Self { child, directory, address: format!("127.0.0.1:{port}"), config }
    }

    /// Runs a command against the node.
    pub fn run(&self, arguments: &[&str]) -> CommandOutput {
        run_with_config(&self.config, arguments)
    }

    /// Sends a GET request with the right host and these headers.
    pub fn get(&self, path: &str, headers: &str) -> HttpResponse {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n",
            self.address
        ))
    }

    /// Sends a GET request whose response need not be text; returns its head and body.
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

    /// Sends a POST request with a JSON body.
    pub fn post(&self, path: &str, headers: &str, body: &str) -> HttpResponse {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: \
             close\r\n\r\n{body}",
            self.address,
            body.len()
        ))
    }

    /// Sends these bytes and reads the whole response.
    pub fn send(&self, request: &str) -> HttpResponse {
        let mut stream = self.connect(request);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        HttpResponse::parse(&text)
    }

    /// Sends these bytes and returns the open connection.
    pub fn connect(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Stops the node as a service manager does; returns the time taken, and whether it succeeded.
    #[cfg(unix)]
    pub fn stop(&mut self) -> (Duration, bool) {
        let began = Instant::now();
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let ended = self.child.wait().unwrap();
        (began.elapsed(), ended.success())
    }

    /// Returns what the node logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The program may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP response.
pub struct HttpResponse {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl HttpResponse {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Returns the sentence of an error response.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

/// Waits until the condition holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}
