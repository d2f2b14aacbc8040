//! A WebSocket that answers JSON-RPC in this process, and can be told to answer badly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use soketto::handshake::{Server as Handshake, server::Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_util::compat::TokioAsyncReadCompatExt;

/// A refusal: number, message, and what is said beside.
pub(crate) type Refused = (i64, String, String);

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "not every test makes every trouble")]
pub(crate) enum Frames {
    /// It arrives.
    Whole,
    /// It does not.
    Dropped,
    /// Its bytes are others.
    Corrupt,
    /// The socket closes in its place.
    Cut,
    /// Of two, the second comes first.
    Reordered,
}

type Answer = dyn Fn(&str, &Json) -> Result<Json, Refused> + Send + Sync;
type Weather = dyn Fn(&str) -> Frames + Send + Sync;

struct Desk {
    answer: Box<Answer>,
    weather: Mutex<Box<Weather>>,
    asked: Mutex<Vec<String>>,
}

/// A node, as far as its socket shows.
pub(crate) struct Server {
    address: SocketAddr,
    desk: Arc<Desk>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Answers with `answer`, all answers in the same `frames`.
    pub(crate) fn start(
        frames: Frames,
        answer: impl Fn(&str, &Json) -> Result<Json, Refused> + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk {
            answer: Box::new(answer),
            weather: Mutex::new(Box::new(move |_| frames)),
            asked: Mutex::default(),
        });
        let shared = Arc::clone(&desk);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, desk, runtime: Some(runtime) }
    }

    /// From now on the method decides what becomes of an answer.
    pub(crate) fn frames_of(&self, weather: impl Fn(&str) -> Frames + Send + Sync + 'static) {
        *self.desk.weather.lock().unwrap() = Box::new(weather);
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// How often `method` was asked for.
    pub(crate) fn asked(&self, method: &str) -> usize {
        self.desk.asked.lock().unwrap().iter().filter(|asked| *asked == method).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

async fn serve(stream: TcpStream, desk: Arc<Desk>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut handshake = Handshake::new(stream.compat());
    let key = handshake.receive_request().await.ok()?.key();
    handshake.send_response(&Response::Accept { key, protocol: None }).await.ok()?;
    let (mut sender, mut receiver) = handshake.into_builder().finish();
    let mut held: Option<String> = None;
    loop {
        let mut message = Vec::new();
        receiver.receive_data(&mut message).await.ok()?;
        let asked: Json = serde_json::from_slice(&message).ok()?;
        let method = asked["method"].as_str()?;
        desk.asked.lock().unwrap().push(method.to_string());
        let frames = (desk.weather.lock().unwrap())(method);
        let mut answer = json!({ "jsonrpc": "2.0", "id": asked["id"] });
        match (desk.answer)(method, &asked["params"]) {
            Ok(result) => answer["result"] = result,
            Err((code, message, data)) => {
                answer["error"] = json!({ "code": code, "message": message, "data": data });
            }
        }
        let text = answer.to_string();
        match frames {
            Frames::Whole => sender.send_text(text).await.ok()?,
            Frames::Dropped => {}
            Frames::Corrupt => sender.send_text(text.replace(['{', '"'], "#")).await.ok()?,
            Frames::Cut => return None,
            Frames::Reordered => {
                let before = held.take();
                match before {
                    Some(before) => {
                        sender.send_text(text).await.ok()?;
                        sender.send_text(before).await.ok()?;
                    }
                    None => held = Some(text),
                }
            }
        }
        sender.flush().await.ok()?;
    }
}
