//! The processes of a network, and what their records say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use wire::{Role, Uid, WindowRecord};

use crate::failure::Failure;
use crate::init::command_of;
use crate::train::DOING;

/// How long a node has to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// One node's process, past and present.
pub(super) struct NodeProcess {
    pub(super) role: Role,
    dir: PathBuf,
    pub(super) uid: Option<Uid>,
    child: Option<Child>,
    /// How it ended last, unless it was killed on purpose.
    pub(super) ended: Option<ExitStatus>,
    /// The newest record of each window.
    pub(super) records: BTreeMap<u64, WindowRecord>,
    /// What was read of records and log.
    records_read: u64,
    log_read: u64,
    /// The newest line of its log.
    pub(super) said: String,
    /// What it is doing.
    pub(super) doing: String,
    pub(super) started: bool,
}

/// All nodes: miners first, then validators.
pub(super) struct Nodes {
    pub(super) all: Vec<NodeProcess>,
    windows: u64,
}

impl Nodes {
    /// Nobody runs yet.
    pub(super) fn new(dir: &Path, peers: u16, validators: u16, windows: u64) -> Self {
        let node = |number: u16| {
            let (role, name) = match number.checked_sub(peers) {
                None => (Role::Miner, format!("peer-{number}")),
                Some(validator) => (Role::Validator, format!("validator-{validator}")),
            };
            NodeProcess {
                role,
                dir: dir.join(name),
                uid: None,
                child: None,
                ended: None,
                records: BTreeMap::new(),
                records_read: 0,
                log_read: 0,
                said: String::new(),
                doing: String::new(),
                started: false,
            }
        };
        Self { all: (0..peers + validators).map(node).collect(), windows }
    }

    /// A node's folder.
    pub(super) fn dir(&self, node: u16) -> &Path {
        &self.all[usize::from(node)].dir
    }

    /// Folders of the validators.
    pub(super) fn validators(&self) -> impl Iterator<Item = &Path> {
        let validators = self.all.iter().filter(|node| node.role == Role::Validator);
        validators.map(|node| node.dir.as_path())
    }

    /// The node has this seat.
    pub(super) fn seated(&mut self, node: u16, uid: Uid) {
        self.all[usize::from(node)].uid = Some(uid);
    }

    /// Starts a node's process; one that runs already goes on.
    pub(super) fn start(&mut self, node: u16) -> Result<(), Failure> {
        let windows = self.windows;
        let node = &mut self.all[usize::from(node)];
        if node.child.is_some() {
            return Ok(());
        }
        let path = node.dir.join("log");
        let log = File::options().create(true).append(true).open(&path);
        let log = log.map_err(|error| Failure::io("open", &path, &error))?;
        let program = std::env::current_exe()
            .map_err(|error| Failure::ours(format!("cannot find this program: {error}")))?;
        let child = Command::new(program)
            .arg(command_of(node.role))
            .arg("--config")
            .arg(node.dir.join("run.toml"))
            .args(["--windows", &windows.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| Failure::ours(format!("cannot start a node: {error}")))?;
        (node.child, node.ended, node.started) = (Some(child), None, true);
        Ok(())
    }

    /// Kills a node as by kill -9.
    pub(super) fn kill(&mut self, node: u16) {
        if let Some(mut child) = self.all[usize::from(node)].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops all nodes: those at a terminal got its Ctrl-C already; who does not end is killed.
    pub(super) fn stop_all(&mut self) {
        let since = Instant::now();
        while self.any_running() && since.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(50));
            self.reap();
        }
        for node in 0..self.all.len() as u16 {
            self.kill(node);
        }
    }

    /// Reads what the nodes wrote since the last look.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        self.reap();
        self.all.iter_mut().try_for_each(NodeProcess::look)
    }

    fn reap(&mut self) {
        for node in &mut self.all {
            if let Some(Ok(Some(status))) = node.child.as_mut().map(Child::try_wait) {
                (node.child, node.ended) = (None, Some(status));
            }
        }
    }

    /// Whether any process runs.
    pub(super) fn any_running(&self) -> bool {
        self.all.iter().any(|node| node.child.is_some())
    }

    /// Whether the last window has been recorded by somebody.
    pub(super) fn is_over(&self) -> bool {
        self.window() > self.windows
    }

    /// The window that the network is in, counted from 1.
    pub(super) fn window(&self) -> u64 {
        let newest = self.all.iter().filter_map(|node| node.records.keys().next_back());
        newest.max().map_or(1, |window| window + 2)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        (0..self.all.len() as u16).for_each(|node| self.kill(node));
    }
}

impl NodeProcess {
    /// What the node is called.
    pub(super) fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether its process runs.
    pub(super) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn look(&mut self) -> Result<(), Failure> {
        let (path, log) = (self.dir.join("windows.jsonl"), self.dir.join("log"));
        let lines = whole_lines(&path, &mut self.records_read)?;
        for record in lines.iter().filter_map(|line| WindowRecord::from_line(line).ok()) {
            self.uid = Some(record.uid);
            self.records.insert(record.window.0, record);
        }
        if let Some(line) = whole_lines(&log, &mut self.log_read)?.pop() {
            self.said = line;
        }
        self.doing = std::fs::read_to_string(self.dir.join(DOING)).unwrap_or_default();
        Ok(())
    }
}

/// The whole lines behind the first `read` bytes of a file, which are then read too. A file that
/// was written anew is read from its start.
fn whole_lines(path: &Path, read: &mut u64) -> Result<Vec<String>, Failure> {
    let Ok(mut file) = File::open(path) else { return Ok(Vec::new()) };
    let fault = |error: std::io::Error| Failure::io("read", path, &error);
    if file.metadata().map_err(fault)?.len() < *read {
        *read = 0;
    }
    file.seek(SeekFrom::Start(*read)).map_err(fault)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(fault)?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    *read += whole as u64;
    let text = String::from_utf8_lossy(&bytes[..whole]);
    Ok(text.lines().map(str::to_string).collect())
}
