//! Conversations into rows without cutting one: best fit among a few open rows, so that memory
//! stays small, little is padded, and the same file gives the same rows.

/// Rows that are still filled. Short conversations fill what long ones leave.
const OPEN_ROWS: usize = 64;

/// Tokens of a conversation, or of several one behind the other, with the loss mask of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) tokens: Vec<u32>,
    pub(super) mask: Vec<u8>,
    /// Where each conversation begins.
    pub(super) starts: Vec<usize>,
}

impl Row {
    /// One conversation.
    pub(super) fn new(tokens: Vec<u32>, mask: Vec<u8>) -> Self {
        Self { tokens, mask, starts: vec![0] }
    }

    /// Tokens.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens that count.
    pub(super) fn answer_tokens(&self) -> u64 {
        self.mask.iter().map(|&mask| u64::from(mask)).sum()
    }

    /// Keeps the first `tokens` only.
    pub(super) fn truncate(&mut self, tokens: usize) {
        self.tokens.truncate(tokens);
        self.mask.truncate(tokens);
        self.starts.retain(|&start| start < tokens);
    }

    /// Whether there is something to learn: the first token of a row is never a target.
    pub(super) fn has_an_answer(&self) -> bool {
        self.mask.iter().skip(1).any(|&mask| mask != 0)
    }

    /// Puts the conversations of another one behind these.
    pub(super) fn append(&mut self, more: &Row) {
        let length = self.len();
        self.starts.extend(more.starts.iter().map(|start| length + start));
        self.tokens.extend_from_slice(&more.tokens);
        self.mask.extend_from_slice(&more.mask);
    }
}

/// The open rows.
#[derive(Debug)]
pub(super) struct Packer {
    row_tokens: usize,
    /// In the order in which they were begun.
    open: Vec<Row>,
}

impl Packer {
    /// Rows of `row_tokens` tokens.
    pub(super) fn new(row_tokens: usize) -> Self {
        Self { row_tokens, open: Vec::new() }
    }

    /// Adds a conversation that is no longer than a row; a row that is done, if one is.
    pub(super) fn add(&mut self, conversation: Row) -> Option<Row> {
        let length = conversation.len();
        let free = |row: &Row| self.row_tokens - row.len();
        let fitting = (0..self.open.len()).filter(|&at| free(&self.open[at]) >= length);
        if let Some(at) = fitting.min_by_key(|&at| free(&self.open[at])) {
            self.open[at].append(&conversation);
            return (free(&self.open[at]) == 0).then(|| self.open.remove(at));
        }
        if length == self.row_tokens {
            return Some(conversation);
        }
        let fullest = (0..self.open.len()).min_by_key(|&at| free(&self.open[at]));
        let done = fullest.filter(|_| self.open.len() == OPEN_ROWS);
        let done = done.map(|at| self.open.remove(at));
        self.open.push(conversation);
        done
    }

    /// The rows that are not full.
    pub(super) fn finish(self) -> Vec<Row> {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(token: u32, length: usize) -> Row {
        Row::new(vec![token; length], vec![(token % 2) as u8; length])
    }

    #[test]
    fn a_conversation_goes_where_it_leaves_the_least_room() {
        let mut packer = Packer::new(10);
        assert_eq!(packer.add(row(1, 6)), None);
        assert_eq!(packer.add(row(2, 7)), None);
        assert_eq!(packer.add(row(3, 2)), None);
        let full = packer.add(row(4, 1)).unwrap();
        assert_eq!(full.tokens, [2, 2, 2, 2, 2, 2, 2, 3, 3, 4]);
        assert_eq!(full.mask, [0, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
        assert_eq!(full.starts, [0, 7, 9]);
        assert_eq!(packer.add(row(5, 10)), Some(row(5, 10)));
        assert_eq!(packer.finish(), [row(1, 6)]);
    }

    #[test]
    fn rows_stay_few_and_nothing_is_lost() {
        let mut packer = Packer::new(10);
        let mut done = Vec::new();
        for token in 0..1_000 {
            done.extend(packer.add(row(token, 6 + token as usize % 4)));
            assert!(packer.open.len() <= OPEN_ROWS);
        }
        done.extend(packer.finish());
        let mut found: Vec<u32> = done.into_iter().flat_map(|row| row.tokens).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, (0..1_000).collect::<Vec<_>>());
    }
}
