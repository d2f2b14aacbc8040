//! An object server on this machine's loopback, as much of S3 as transfers need: whole objects,
//! ranges, uploads in parts. It checks no signature and keeps objects as files of one folder.
//!
//! One thread per connection, files go to the socket by the kernel, so that it is the client that
//! is measured. A [`Link`] makes it as slow as a network is.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::machine;

/// The one bucket.
pub(crate) const BUCKET: &str = "bench";
/// What a limited link passes at once.
const SLICE_BYTES: u64 = 32 << 10;
/// What a link makes up for when a thread slept longer than it should.
const CATCH_UP: Duration = Duration::from_millis(2);

/// How many bytes a second pass from the client up, and down to it; all connections share it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    pub(crate) up_bytes_per_s: Option<f64>,
    pub(crate) down_bytes_per_s: Option<f64>,
}

/// A server, which ends with this.
pub(crate) struct Loopback {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    stop: AtomicBool,
    up: Limit,
    down: Limit,
    /// Processor time of all connections' threads.
    cpu_ns: AtomicU64,
}

/// One direction of a link.
#[derive(Default)]
struct Limit {
    /// Seconds that a byte takes; 0 where nothing limits.
    byte_s: Mutex<f64>,
    /// Until when the link is taken.
    taken: Mutex<Option<Instant>>,
}

impl Limit {
    fn set(&self, bytes_per_s: Option<f64>) {
        *lock(&self.byte_s) = bytes_per_s.map_or(0.0, |rate| 1.0 / rate);
        *lock(&self.taken) = Some(Instant::now());
    }

    fn is_limited(&self) -> bool {
        *lock(&self.byte_s) > 0.0
    }

    /// Waits until so many bytes have passed.
    fn pass(&self, bytes: u64) {
        let time = Duration::from_secs_f64(*lock(&self.byte_s) * bytes as f64);
        let until = {
            let mut taken = lock(&self.taken);
            let now = Instant::now();
            let until = taken.map_or(now, |taken| taken.max(now - CATCH_UP)) + time;
            *taken = Some(until);
            until
        };
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loopback {
    /// Serves the files of `folder`.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            folder: folder.to_path_buf(),
            stop: AtomicBool::new(false),
            up: Limit::default(),
            down: Limit::default(),
            cpu_ns: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stop.load(Ordering::Relaxed) {
                    return;
                }
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.connection(stream));
            }
        });
        Ok(Self { address, shared })
    }

    /// From now on transfers pass this link.
    pub(crate) fn set(&self, link: Link) {
        self.shared.up.set(link.up_bytes_per_s);
        self.shared.down.set(link.down_bytes_per_s);
    }

    /// Where it is: `http://..`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the object of this key lies.
    pub(crate) fn file(&self, key: &str) -> PathBuf {
        self.shared.file(&format!("/{BUCKET}/{key}"))
    }

    /// Processor seconds that serving took so far.
    pub(crate) fn cpu_s(&self) -> f64 {
        self.shared.cpu_ns.load(Ordering::Relaxed) as f64 / 1e9
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

/// What is read of a request's head.
struct Request {
    method: String,
    path: String,
    query: HashMap<String, String>,
    body_bytes: u64,
    range: Option<(u64, u64)>,
}

impl Request {
    /// The next one of a connection; none at its end.
    fn read(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_string();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = pairs.map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let (mut body_bytes, mut range, path) = (0, None, path.to_string());
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => body_bytes = value.trim().parse().unwrap_or(0),
                "range" => range = parse_range(value),
                _ => {}
            }
        }
        Ok(Some(Self { method, path, query, body_bytes, range }))
    }
}

/// First and last byte of `bytes=5-9`.
fn parse_range(value: &str) -> Option<(u64, u64)> {
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

impl Shared {
    fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/').replace('/', "+"))
    }

    fn connection(&self, stream: TcpStream) {
        // Whoever is cut off sees that for itself.
        let _ = self.serve(stream);
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BufReader::with_capacity(256 << 10, stream.try_clone()?);
        let mut cpu_ns = machine::thread_cpu_ns();
        while let Some(request) = Request::read(&mut input)? {
            match request.method.as_str() {
                "GET" | "HEAD" => self.give(&request, &mut stream)?,
                _ => {
                    let mut body = (&mut input).take(request.body_bytes);
                    let answer = self.take(&request, &mut body)?;
                    io::copy(&mut body, &mut io::sink())?;
                    stream.write_all(answer.as_bytes())?;
                }
            }
            let now_ns = machine::thread_cpu_ns();
            self.cpu_ns.fetch_add(now_ns - cpu_ns, Ordering::Relaxed);
            cpu_ns = now_ns;
        }
        Ok(())
    }

    fn give(&self, request: &Request, stream: &mut TcpStream) -> io::Result<()> {
        let Ok(mut file) = File::open(self.file(&request.path)) else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        };
        let whole = file.metadata()?.len();
        let (first, last) = request.range.unwrap_or((0, whole.saturating_sub(1)));
        let end = (last + 1).min(whole).max(first);
        let status = match request.range {
            Some(_) => {
                format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{whole}")
            }
            None => "200 OK".to_string(),
        };
        let bytes = end - first;
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {bytes}\r\nETag: \"e\"\r\n\
             Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        if request.method == "HEAD" {
            return Ok(());
        }
        file.seek(SeekFrom::Start(first))?;
        let mut left = bytes;
        while left > 0 {
            let slice = if self.down.is_limited() { left.min(SLICE_BYTES) } else { left };
            if self.down.is_limited() {
                self.down.pass(slice);
            }
            io::copy(&mut (&mut file).take(slice), stream)?;
            left -= slice;
        }
        Ok(())
    }

    /// Stores a body, or begins or ends an upload in parts; the answer.
    fn take(&self, request: &Request, body: &mut impl Read) -> io::Result<String> {
        let path = self.file(&request.path);
        let part = |number: &str| PathBuf::from(format!("{}.part-{number}", path.display()));
        let xml = match (request.method.as_str(), request.query.get("partNumber")) {
            ("PUT", number) => {
                let path = number.map_or(path.clone(), |number| part(number));
                self.store(body, &mut File::create(path)?)?;
                String::new()
            }
            ("POST", _) if request.query.contains_key("uploads") => {
                let root = "InitiateMultipartUploadResult";
                let names = "<Bucket>b</Bucket><Key>k</Key>";
                format!("<{root}>{names}<UploadId>1</UploadId></{root}>")
            }
            ("POST", _) => {
                // The first part becomes the object, the others are joined to it.
                std::fs::rename(part("1"), &path)?;
                let mut whole = File::options().append(true).open(&path)?;
                for number in (2..).map(|number| part(&format!("{number}"))) {
                    let Ok(mut piece) = File::open(&number) else { break };
                    io::copy(&mut piece, &mut whole)?;
                    std::fs::remove_file(number)?;
                }
                let root = "CompleteMultipartUploadResult";
                format!("<{root}><ETag>\"e\"</ETag></{root}>")
            }
            _ => String::new(),
        };
        let bytes = xml.len();
        Ok(format!("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: {bytes}\r\n\r\n{xml}"))
    }

    fn store(&self, body: &mut impl Read, file: &mut File) -> io::Result<()> {
        let mut piece = vec![0; SLICE_BYTES as usize];
        loop {
            let bytes = body.read(&mut piece)?;
            if bytes == 0 {
                return Ok(());
            }
            if self.up.is_limited() {
                self.up.pass(bytes as u64);
            }
            file.write_all(&piece[..bytes])?;
        }
    }
}
