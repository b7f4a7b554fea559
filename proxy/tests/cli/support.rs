//! Provides a running proxy process, a client and an upstream for it, without a runtime.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Ends a test that hangs. Nothing is measured by it, so it is generous.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// The binary with these arguments, and no configuration named by the environment.
pub(crate) fn proxy(args: &[&str]) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("proxy"));
    command.args(args).env_remove("PROXY_CONFIG").timeout(WATCHDOG);
    command
}

/// What a finished command left: exit code, standard output, standard error.
pub(crate) fn outcome(command: &mut assert_cmd::Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// An address that nobody else uses: loopback is large, so each test process has an address of its own. Port 0 would
/// not do, since subcommands find the proxy by its configuration.
pub(crate) fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(3130);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, 1 + a % 250, b, c), NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// A folder with a configuration that is known to be good until a test changes it.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) config: Value,
}

impl Place {
    /// With one upstream at `upstream`.
    pub(crate) fn before(upstream: SocketAddr) -> Self {
        let address = address();
        let config = json!({
            "server": { "listen_address": address.to_string() },
            "upstream_proxies": [{ "url": format!("http://{upstream}") }],
        });
        Place { folder: tempfile::tempdir().unwrap(), address, config }
    }

    /// With an upstream where nobody listens, for tests without a request.
    pub(crate) fn new() -> Self {
        Self::before(([127, 0, 0, 1], 9).into())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("proxy.json")
    }

    /// Writes the configuration as it is now, in place.
    pub(crate) fn write(&self) {
        std::fs::write(self.file(), self.config.to_string()).unwrap();
    }

    /// A command in this folder, on this configuration.
    pub(crate) fn command(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = proxy(args);
        command.current_dir(self.folder.path()).arg("--config").arg(self.file());
        command
    }

    /// The proxy, listening.
    pub(crate) fn start(&self) -> Running {
        self.write();
        let mut running = Running::spawn(self.folder.path(), &self.file());
        running.line("listen=");
        running
    }
}

/// A proxy process; killed when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: Receiver<String>,
    /// Everything it has logged so far, as far as it was waited for.
    pub(crate) lines: Vec<String>,
}

impl Running {
    /// Starts it in `folder`; it may not get as far as listening.
    pub(crate) fn spawn(folder: &Path, config: &Path) -> Self {
        Self::from(Self::command(folder, config))
    }

    /// The command that [`Running::spawn`] starts.
    pub(crate) fn command(folder: &Path, config: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("proxy"));
        command.arg("--config").arg(config).current_dir(folder).env_remove("PROXY_CONFIG");
        command
    }

    /// Starts it by a command of one's own.
    pub(crate) fn from(mut command: std::process::Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, log) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Running { child, log, lines: Vec::new() }
    }

    /// Waits for a further line of the log that holds `text`.
    pub(crate) fn line(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.log.recv_timeout(WATCHDOG) else {
                panic!("no line with {text:?} in the log, but:\n{}", self.lines.join("\n"));
            };
            self.lines.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Nobody reads its log from the next line on.
    pub(crate) fn close_log(&mut self) {
        // The reading thread ends, and closes the pipe, when it finds nobody to tell.
        self.log = channel().1;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: the exit code, or the signal that killed it, negative. Its log is complete then.
    pub(crate) fn end(&mut self) -> i32 {
        while let Ok(line) = self.log.recv_timeout(WATCHDOG) {
            self.lines.push(line);
        }
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for one of the proxy's own pages: status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// One of the proxy's own pages as JSON.
pub(crate) fn page(address: SocketAddr, path: &str) -> Value {
    serde_json::from_str(&get(address, path).1).unwrap()
}

/// Sends `request` and reads to the end: status and body.
pub(crate) fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
    (head[9..12].parse().unwrap(), body.to_owned())
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    stream
}

/// Asks for a tunnel, with further `fields`; the status that came.
pub(crate) fn tunnel_with(address: SocketAddr, fields: &str) -> (u16, TcpStream) {
    let mut stream = connect(address);
    write!(stream, "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n{fields}\r\n").unwrap();
    let head = read_head(&mut stream);
    (head[9..12].parse().unwrap(), stream)
}

/// An open tunnel.
pub(crate) fn tunnel(address: SocketAddr) -> TcpStream {
    let (status, stream) = tunnel_with(address, "");
    assert_eq!(status, 200);
    stream
}

/// Sends a word through an open tunnel to [`echo`] and sees it come back.
pub(crate) fn assert_open(tunnel: &mut TcpStream) {
    tunnel.write_all(b"still here").unwrap();
    let mut back = [0; 10];
    tunnel.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"still here");
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        // Not `read`: with a time-out, the signal of a child that ends elsewhere interrupts it (signal(7)).
        match stream.read_exact(&mut byte) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            read => read.unwrap(),
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// An upstream that opens every tunnel and sends back what comes through it.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let head = read_head(&mut stream);
                if head.starts_with("CONNECT ") {
                    // The other side may end whenever it likes.
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
                }
                let _ = stream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

/// Writes `bytes` to the control socket; what comes back, as JSON.
pub(crate) fn control(place: &Place, bytes: &[u8]) -> Value {
    let mut stream = UnixStream::connect(place.path("proxy.sock")).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.matches('\n').count(), 1, "{answer}");
    serde_json::from_str(&answer).unwrap()
}
