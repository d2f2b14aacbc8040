//! A server on a free port, which ends with the test.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

pub(crate) struct Server {
    process: Child,
    /// `http://127.0.0.1:PORT/v1`.
    pub(crate) base: String,
    client: reqwest::Client,
}

impl Server {
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        // Plain HTTP, but the client wants to know how it would encrypt.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
        command.current_dir(dir).args(["serve", "--listen", "127.0.0.1:0"]).args(args);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.split_whitespace().find(|word| word.starts_with("http://"));
        let base = base.unwrap_or_else(|| panic!("no address: {line}"));
        let base = base.trim_end_matches(',').to_string();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { process, base, client }
    }

    /// Status and body of a request by POST.
    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> (u16, String) {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The JSON object of a request that must succeed.
    pub(crate) async fn ask(&self, path: &str, body: Value) -> Value {
        let (status, text) = self.post(path, &body).await;
        assert_eq!(status, 200, "{body}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The objects of a streamed answer, which must end as such.
    pub(crate) async fn stream(&self, path: &str, body: Value) -> Vec<Value> {
        let (status, text) = self.post(path, &body).await;
        assert_eq!(status, 200, "{body}: {text}");
        let mut data: Vec<&str> =
            text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{text}");
        data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    pub(crate) async fn get(&self, url: &str) -> (u16, String) {
        let response = self.client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The first line of the answer to a completion whose body would have so many bytes. They are
    /// not sent: a server that refuses them may be gone before they are.
    pub(crate) fn announce(&self, body_bytes: usize) -> String {
        let address = self.base.trim_start_matches("http://").trim_end_matches("/v1");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = "POST /v1/completions HTTP/1.1\r\nhost: here\r\n\
                    content-type: application/json\r\n";
        write!(stream, "{head}content-length: {body_bytes}\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// How it ended.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
