//! An HTTP server of canned answers on this machine, for what no real server says on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came: `PUT /bucket/key?query`.
pub(crate) type Line = String;

/// Answers every request through one function, and remembers them.
pub(crate) struct CannedServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Line>>>,
}

impl CannedServer {
    /// `answer` gets the request's line and its number, from 0, and returns status line, headers
    /// and body as they go over the wire.
    pub(crate) fn start(answer: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || serve(stream.ok()?, &log, &*answer));
            }
        });
        Self { address, seen }
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Line> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Line>>,
    answer: &dyn Fn(&str, usize) -> String,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    std::io::copy(&mut reader.take(length.unwrap_or(0)), &mut std::io::sink()).ok()?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_string();
    let number = {
        let mut log = log.lock().unwrap();
        log.push(line.clone());
        log.len() - 1
    };
    let mut stream = stream;
    stream.write_all(answer(&line, number).as_bytes()).ok()
}

/// An answer with S3's XML for an error.
pub(crate) fn refusal(status: &str, headers: &str, code: &str) -> String {
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    body(status, headers, &xml)
}

/// An answer with any body.
pub(crate) fn body(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
