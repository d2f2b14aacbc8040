//! The way to nodes of the chain: one WebSocket at a time, to the first endpoint of a list that
//! answers and belongs to the right chain.
//!
//! Only questions and answers go over it, no subscriptions: a subscription that fell silent cannot
//! be told from a chain that stands still, and blocks asked for by their numbers leave no gaps.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde_json::Value as Json;
use tokio::runtime::{Builder, Runtime};

use super::rpc::{Rpc, RpcFault, SUBMIT};

/// Longest answer: a runtime's description of itself is the longest that is asked for.
const ANSWER_BYTES_MAX: u32 = 32 << 20;

/// Nodes of one chain, of which one is asked at a time.
pub struct Connection {
    endpoints: Vec<String>,
    timeout: Duration,
    link: Mutex<Link>,
    /// Taken when this value goes.
    runtime: Option<Runtime>,
}

struct Link {
    /// Index of the endpoint in use.
    at: usize,
    client: Option<Arc<WsClient>>,
    /// What all endpoints must have; of the first that answered if the configuration names none.
    genesis: Option<String>,
}

impl Connection {
    /// The nodes at `endpoints` (`wss://..` or `ws://..`), asked in this order; `genesis` is the
    /// hash of their chain's first block, as `0x..`. Each question waits for `timeout` at most.
    ///
    /// # Errors
    /// The machine gives no thread.
    pub fn new(
        endpoints: Vec<String>,
        genesis: Option<String>,
        timeout: Duration,
    ) -> Result<Self, std::io::Error> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let link = Mutex::new(Link { at: 0, client: None, genesis });
        Ok(Self { endpoints, timeout, link, runtime: Some(runtime) })
    }

    /// The endpoint in use.
    pub fn endpoint(&self) -> String {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        self.endpoints.get(link.at).cloned().unwrap_or_default()
    }

    /// Waits for `future` within the timeout. Callers may sit in a runtime of their own, so the
    /// work is done on this one's thread and waited for by a channel.
    fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, RpcFault> {
        let (send, receive) = mpsc::channel();
        let timeout = self.timeout;
        let runtime = self.runtime.as_ref().expect("it goes with this value");
        runtime.spawn(async move {
            let _ = send.send(tokio::time::timeout(timeout, future).await);
        });
        match receive.recv() {
            Ok(Ok(done)) => done.map_err(|error| fault_of(&error)),
            _ => Err(RpcFault::Lost(format!("no answer within {} s", timeout.as_secs_f64()))),
        }
    }

    /// The client in use, connected and checked.
    fn client(&self) -> Result<Arc<WsClient>, RpcFault> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = link.client.as_ref().filter(|client| client.is_connected()) {
            return Ok(Arc::clone(client));
        }
        link.client = None;
        let Some(endpoint) = self.endpoints.get(link.at).cloned() else {
            return Err(RpcFault::Lost("no endpoint is named".into()));
        };
        let url = endpoint.clone();
        let timeout = self.timeout;
        let client = self.wait(async move {
            let builder = WsClientBuilder::default()
                .max_response_size(ANSWER_BYTES_MAX)
                .max_frame_size(ANSWER_BYTES_MAX)
                .request_timeout(timeout)
                .connection_timeout(timeout);
            builder.build(url).await
        })?;
        let client = Arc::new(client);
        let found = self.ask(&client, "chain_getBlockHash", vec![0.into()])?;
        let Some(found) = found.as_str().filter(|hash| is_hash(hash)).map(str::to_string) else {
            return Err(RpcFault::Lost("its first block has no hash".into()));
        };
        let wanted = link.genesis.get_or_insert_with(|| found.clone()).clone();
        if wanted != found {
            return Err(RpcFault::OtherChain { endpoint, wanted, found });
        }
        link.client = Some(Arc::clone(&client));
        Ok(client)
    }

    fn ask(
        &self,
        client: &Arc<WsClient>,
        method: &str,
        params: Vec<Json>,
    ) -> Result<Json, RpcFault> {
        let (client, method) = (Arc::clone(client), method.to_string());
        self.wait(async move {
            let mut list = ArrayParams::new();
            for param in params {
                list.insert(param).map_err(Error::ParseError)?;
            }
            client.request::<Json, _>(&method, list).await
        })
    }

    /// Takes the next endpoint of the list, unless somebody did so since `failed` was in use.
    fn leave(&self, failed: Option<&Arc<WsClient>>) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(failed), Some(client)) = (failed, &link.client)
            && !Arc::ptr_eq(failed, client)
        {
            return;
        }
        link.client = None;
        link.at = (link.at + 1) % self.endpoints.len().max(1);
    }
}

impl Rpc for Connection {
    fn request(&self, method: &str, params: Vec<Json>) -> Result<Json, RpcFault> {
        let mut fault = RpcFault::Lost("no endpoint is named".into());
        for _ in 0..2 * self.endpoints.len() {
            let endpoint = self.endpoint();
            let client = match self.client() {
                Ok(client) => client,
                Err(other @ RpcFault::OtherChain { .. }) => return Err(other),
                Err(lost) => {
                    self.leave(None);
                    fault = RpcFault::Lost(format!("{endpoint}: {lost}"));
                    continue;
                }
            };
            match self.ask(&client, method, params.clone()) {
                Err(RpcFault::Lost(lost)) => {
                    let lost = RpcFault::Lost(format!("{endpoint}: {lost}"));
                    self.leave(Some(&client));
                    if method == SUBMIT {
                        return Err(lost);
                    }
                    fault = lost;
                }
                done => return done,
            }
        }
        Err(fault)
    }

    fn move_on(&self) -> bool {
        self.leave(None);
        self.endpoints.len() > 1
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Whoever drops this may sit in a runtime, which must not wait for another.
            runtime.shutdown_background();
        }
    }
}

/// Whether a stranger's text is a hash as nodes spell them, at most 32 bytes long.
fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    (1..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn fault_of(error: &Error) -> RpcFault {
    match error {
        Error::Call(refused) => {
            let data =
                refused.data().and_then(|data| serde_json::from_str::<Json>(data.get()).ok());
            let data = data.as_ref().and_then(Json::as_str);
            RpcFault::refused(refused.code().into(), refused.message(), data)
        }
        other => RpcFault::Lost(other.to_string()),
    }
}
