//! The live view: one line per node on a terminal, and plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::nodes::{NodeProcess, Nodes};

/// What the person at the terminal sees of a network.
pub(super) struct View {
    bars: Option<(MultiProgress, BTreeMap<String, ProgressBar>)>,
    windows: u64,
    /// The newest window shown in plain lines.
    shown: u64,
}

impl View {
    /// A view of a network that runs `windows` windows.
    pub(super) fn new(windows: u64) -> Self {
        let bars = std::io::stderr().is_terminal();
        let bars = bars.then(|| (MultiProgress::new(), BTreeMap::new()));
        Self { bars, windows, shown: 0 }
    }

    /// Says something that stays.
    pub(super) fn say(&self, text: &str) {
        match &self.bars {
            Some((all, _)) => all.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Shows where every node is.
    pub(super) fn show(&mut self, nodes: &Nodes) {
        match &mut self.bars {
            Some((all, bars)) => {
                for node in &nodes.all {
                    let bar = bars.entry(node.name()).or_insert_with(|| {
                        let bar = all.add(ProgressBar::new_spinner());
                        let style = ProgressStyle::with_template("{prefix:<12} {msg}");
                        bar.set_style(style.expect("a sound template"));
                        bar.set_prefix(node.name());
                        bar
                    });
                    bar.set_message(line(node));
                    bar.tick();
                }
            }
            None => self.show_plainly(nodes),
        }
    }

    /// One line whenever a window is over.
    fn show_plainly(&mut self, nodes: &Nodes) {
        let over = nodes.window() - 1;
        if over <= self.shown {
            return;
        }
        self.shown = over;
        let records = nodes.all.iter().filter_map(|node| node.records.get(&(over - 1)));
        let losses: Vec<_> = records.clone().filter_map(|record| record.loss_last).collect();
        let accepted = records.map(|record| record.accepted.len()).max().unwrap_or(0);
        let loss = match losses.len() {
            0 => String::new(),
            count => format!("  loss {:.3}", losses.iter().sum::<f64>() / count as f64),
        };
        eprintln!("window {over}/{}{loss}  accepted {accepted}", self.windows);
    }

    /// The network is done, or stopped.
    pub(super) fn close(&self) {
        if let Some((all, _)) = &self.bars {
            let _ = all.clear();
        }
    }
}

/// Window, loss, verdicts, and what the node is doing or said last.
fn line(node: &NodeProcess) -> String {
    let state = match (node.is_running(), node.started) {
        (true, _) => "",
        (false, true) => "ended  ",
        (false, false) => "not yet  ",
    };
    let doing = if node.is_running() { &node.doing } else { &node.said };
    let Some((window, record)) = node.records.iter().next_back() else {
        return format!("{state}{doing}");
    };
    let loss = record.loss_last.map_or(String::new(), |loss| format!("  loss {loss:.3}"));
    let (accepted, rejected) = (record.accepted.len(), record.rejected.len());
    let why = record.rejected.first();
    let why = why.map_or(String::new(), |r| format!(" (uid {}: {})", r.uid, r.reason.code()));
    let window = window + 1;
    format!("{state}window {window}{loss}  accepted {accepted}, rejected {rejected}{why}  {doing}")
}
