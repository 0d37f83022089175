//! A child's output as lines that cannot do harm: bounded in length, and in how many go to the coordinator.
//!
//! Promise: a child that writes without end, without line breaks or without sense costs the worker no memory and the coordinator
//! no more than [`RATE`] lines a second after a burst of [`BURST`], and no more than [`MOST`] bytes in all. What is left out is
//! counted.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use vertigo::id::Millis;

/// Lines a second that are forwarded in the long run.
pub const RATE: u64 = 20;

/// Lines that are forwarded at once.
pub const BURST: u64 = 200;

/// Bytes that are forwarded of all lines: they wait in a file here, and stay in the coordinator's journal.
pub const MOST: u64 = 16 << 20;

/// Bytes of a line that are kept.
pub const LONGEST: usize = 2048;

/// Reads one line, without its end, bytes that are no UTF-8 replaced. What is past `longest` bytes is read and dropped. `None` at the
/// end of the input.
///
/// # Errors
/// The reader's.
pub async fn next_line<R: AsyncBufRead + Unpin>(reader: &mut R, longest: usize) -> std::io::Result<Option<String>> {
    let (mut line, mut dropped, mut any) = (Vec::new(), false, false);
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            break;
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = part.len().min(longest - line.len());
        line.extend_from_slice(&part[..room]);
        dropped |= room < part.len();
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    if !any {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let mut text = String::from_utf8_lossy(&line).into_owned();
    if dropped {
        text.push('…');
    }
    Ok(Some(text))
}

/// Which lines are forwarded: a bucket of [`BURST`] that fills at [`RATE`].
#[derive(Debug, Clone)]
pub struct RateCap {
    /// In thousandths of a line, so that every millisecond counts.
    thousandths: u64,
    at: Millis,
    /// Bytes that may still go.
    room: u64,
    left_out: u64,
}

/// Whether a line is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, after this many that were not.
    Forward {
        /// Lines left out since the last one.
        left_out: u64,
    },
    /// No.
    LeaveOut,
}

impl RateCap {
    /// A full bucket. `now` is here and below by a clock that never goes back: the wall's would close the bucket for as long as it
    /// went back.
    pub fn new(now: Millis) -> RateCap {
        RateCap { thousandths: BURST * 1000, at: now, room: MOST, left_out: 0 }
    }

    /// Judges a line of `bytes` at `now`.
    pub fn judge(&mut self, now: Millis, bytes: u64) -> Verdict {
        let gained = now.0.saturating_sub(self.at.0).saturating_mul(RATE);
        self.thousandths = self.thousandths.saturating_add(gained).min(BURST * 1000);
        self.at = self.at.max(now);
        if self.thousandths < 1000 || bytes > self.room {
            self.left_out += 1;
            return Verdict::LeaveOut;
        }
        self.thousandths -= 1000;
        self.room -= bytes;
        Verdict::Forward { left_out: self.take_left_out() }
    }

    /// Lines left out since the last one that was forwarded; they count as told.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::BufReader;

    async fn all(input: &[u8], longest: usize, buffer: usize) -> Vec<String> {
        let mut reader = BufReader::with_capacity(buffer, input);
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut reader, longest).await.unwrap() {
            lines.push(line);
        }
        lines
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn lines_are_cut_not_kept_and_bytes_are_read_as_they_come() {
        let input = b"one\r\n\nlong line\n\xff\xfe\nlast";
        let lines = block_on(all(input, 6, 3));
        assert_eq!(lines, ["one", "", "long l…", "\u{fffd}\u{fffd}", "last"]);
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_allowed_whatever_comes(input in prop::collection::vec(any::<u8>(), 0..300), longest in 1usize..40, buffer in 1usize..50) {
            let lines = block_on(all(&input, longest, buffer));
            let expected = input.split(|byte| *byte == b'\n').count() - usize::from(input.is_empty() || input.ends_with(b"\n"));
            prop_assert_eq!(lines.len(), expected);
            // A byte that is no UTF-8 becomes a character of three bytes; the ellipsis is one too.
            prop_assert!(lines.iter().all(|line| line.len() <= 3 * longest + 3));
        }

        #[test]
        fn no_window_has_more_than_a_burst_and_its_rate_and_none_is_forgotten(gaps in prop::collection::vec(0u64..400, 0..600)) {
            let mut cap = RateCap::new(Millis(0));
            let (mut now, mut forwarded, mut told) = (0, Vec::new(), 0);
            for gap in &gaps {
                now += gap / 40; // most come in the same millisecond
                if let Verdict::Forward { left_out } = cap.judge(Millis(now), 1) {
                    forwarded.push(now);
                    told += left_out;
                }
            }
            told += cap.take_left_out();
            prop_assert_eq!(forwarded.len() as u64 + told, gaps.len() as u64);
            for (n, from) in forwarded.iter().enumerate() {
                for (m, to) in forwarded.iter().enumerate().skip(n) {
                    prop_assert!((m - n) as u64 <= BURST + (to - from) * RATE / 1000);
                }
            }
        }
    }

    #[test]
    fn a_quiet_child_is_heard_whole_and_a_noisy_one_again_later() {
        let mut cap = RateCap::new(Millis(0));
        let verdicts: Vec<_> = (0..BURST + 5).map(|_| cap.judge(Millis(0), 1)).collect();
        assert!(verdicts[..BURST as usize].iter().all(|v| *v == Verdict::Forward { left_out: 0 }));
        assert!(verdicts[BURST as usize..].iter().all(|v| *v == Verdict::LeaveOut));
        assert_eq!(cap.judge(Millis(1000 / RATE), 1), Verdict::Forward { left_out: 5 });
    }

    #[test]
    fn ten_hours_of_noise_end_at_the_bound() {
        let (mut cap, mut bytes) = (RateCap::new(Millis(0)), 0);
        for tenth in 0..10 * 3600 * 10 {
            if let Verdict::Forward { .. } = cap.judge(Millis(tenth * 100), LONGEST as u64) {
                bytes += LONGEST as u64;
            }
        }
        assert_eq!(bytes, MOST);
        assert!(cap.take_left_out() > 100_000);
    }
}
