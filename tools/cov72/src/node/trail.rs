//! Windows that passed without a node's part: each leaves a record all the same.

use wire::{Manifest, Role, RunId, StateRoot, Uid, Window, WindowRecord};

/// What passed since it was last asked for, oldest first, each window once.
pub(crate) struct Trail {
    passed: Vec<Passed>,
    /// The first window without a record.
    next: Window,
}

enum Passed {
    /// This manifest counted.
    Counted(Box<Manifest>),
    /// Nobody published one.
    Null(Window, StateRoot),
}

impl Trail {
    /// Nothing passed yet.
    pub(super) fn new() -> Self {
        Self { passed: Vec::new(), next: Window(0) }
    }

    /// A manifest was followed.
    pub(crate) fn counted(&mut self, manifest: &Manifest) {
        self.nothing_until(manifest.window, manifest.parent_root);
        if self.next == manifest.window {
            self.passed.push(Passed::Counted(Box::new(manifest.clone())));
            self.skip_to(manifest.window.next());
        }
    }

    /// No window before `window` had a manifest, as far as there is no record of it; `root` is the
    /// state that they left as it was.
    pub(crate) fn nothing_until(&mut self, window: Window, root: StateRoot) {
        while self.next < window {
            self.passed.push(Passed::Null(self.next, root));
            self.next = self.next.next();
        }
    }

    /// Windows before `window` need no record: they have one, or nobody can know of them.
    pub(crate) fn skip_to(&mut self, window: Window) {
        self.next = self.next.max(window);
    }

    /// The records of node `uid`.
    pub(crate) fn take(&mut self, run: RunId, uid: Uid, role: Role) -> Vec<WindowRecord> {
        let record = |passed| match passed {
            Passed::Counted(manifest) => {
                let (window, parent_root) = (manifest.window, manifest.parent_root);
                let mut record = WindowRecord::new(run, window, uid, role, parent_root);
                record.accepted = manifest.accepted.iter().map(|accepted| accepted.uid).collect();
                (record.rejected, record.root) = (manifest.rejected, manifest.root);
                record
            }
            Passed::Null(window, root) => WindowRecord::new(run, window, uid, role, root),
        };
        std::mem::take(&mut self.passed).into_iter().map(record).collect()
    }
}
