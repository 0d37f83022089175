//! The reports of one attempt, in a file until the coordinator has taken them.
//!
//! A record is four bytes of length (little-endian) and the report. The file is only appended to: what was acknowledged is dropped
//! with the attempt's folder, not before, and where to go on is found by reading again. So memory does not grow while
//! the coordinator is away.
//!
//! Promise: reports are numbered 1, 2, 3, … without a gap; a process that dies while it writes loses at most the report that it
//! was writing; nothing comes after a `Finished`.

use prost::Message;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use vertigo::bounds::REPORT_BYTES_MAX;
use vertigo::bytes::Bytes;
use vertigo::id::Millis;
use vertigo::v1::Report;
use vertigo::v1::report::Body;

/// Bytes of reports that one message carries, about: well below gRPC's 4 MiB.
const BATCH_BYTES: u64 = 256 << 10;

/// No report is longer: the coordinator would refuse it each time that it is sent. A length above it is damage.
const RECORD_BYTES_MAX: u32 = REPORT_BYTES_MAX as u32;

/// An attempt's reports.
#[derive(Debug)]
pub struct Spool {
    file: File,
    /// Where the next record goes.
    end: u64,
    last: u64,
    finished: bool,
}

/// Where a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    number: u64,
    offset: u64,
}

impl Cursor {
    /// Before the first report.
    pub const START: Cursor = Cursor { number: 0, offset: 0 };
}

impl Spool {
    /// Opens the file, making it where it is not there. A last record that was not written whole is cut off.
    ///
    /// # Errors
    /// The file's.
    pub fn open(path: &Path) -> io::Result<Spool> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let size = file.metadata()?.len();
        let mut spool = Spool { file, end: size, last: 0, finished: false };
        let mut cursor = Cursor::START;
        while let Some((report, next)) = spool.record(cursor)? {
            spool.finished = matches!(report.body, Some(Body::Finished(_)));
            cursor = next;
        }
        spool.file.set_len(cursor.offset)?;
        (spool.end, spool.last) = (cursor.offset, cursor.number);
        Ok(spool)
    }

    /// The number of the last report; 0 where there is none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Whether the last report is a `Finished`.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Adds a report. After a `Finished` it is dropped: the attempt is over.
    ///
    /// # Errors
    /// The file's, such as a full disk; the spool is then as it was before.
    pub fn append(&mut self, at: Millis, body: Body) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        let finished = matches!(body, Body::Finished(_));
        let report = Report { number: self.last + 1, at_ms: at.0, body: Some(body) }.encode_to_vec();
        let length = u32::try_from(report.len()).ok().filter(|n| *n <= RECORD_BYTES_MAX);
        let length = length.ok_or_else(|| {
            let (size, most) = (Bytes(report.len() as u64), Bytes(REPORT_BYTES_MAX as u64));
            let problem =
                format!("a report of {size}, and the coordinator takes {most}: an artifact of fewer files is shorter");
            io::Error::new(io::ErrorKind::InvalidInput, problem)
        })?;
        let record = [&length.to_le_bytes(), report.as_slice()].concat();
        if let Err(error) = self.file.write_all(&record) {
            self.file.set_len(self.end)?;
            return Err(error);
        }
        if finished {
            // A result is hours of work: it outlives the machine's power.
            self.file.sync_data()?;
        }
        self.end += record.len() as u64;
        self.last += 1;
        self.finished = finished;
        Ok(())
    }

    /// After report `number`, or after the last one where there are fewer.
    ///
    /// # Errors
    /// The file's.
    pub fn after(&self, number: u64) -> io::Result<Cursor> {
        let mut cursor = Cursor::START;
        while cursor.number < number
            && let Some((length, body)) = self.length_at(cursor.offset)?
        {
            cursor = Cursor { number: cursor.number + 1, offset: body + u64::from(length) };
        }
        Ok(cursor)
    }

    /// The next reports after `cursor`, some `BATCH_BYTES` of them, and moves it behind them. Empty at the end.
    ///
    /// # Errors
    /// The file's.
    pub fn read(&self, cursor: &mut Cursor) -> io::Result<Vec<Report>> {
        let (start, mut reports) = (cursor.offset, Vec::new());
        while cursor.offset - start < BATCH_BYTES
            && let Some((report, next)) = self.record(*cursor)?
        {
            reports.push(report);
            *cursor = next;
        }
        Ok(reports)
    }

    /// The record at `cursor`; `None` at the end, or where what follows is no whole record of the next number.
    fn record(&self, cursor: Cursor) -> io::Result<Option<(Report, Cursor)>> {
        let Some((length, offset)) = self.length_at(cursor.offset)? else { return Ok(None) };
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        let next = Cursor { number: cursor.number + 1, offset: offset + u64::from(length) };
        let report = Report::decode(bytes.as_slice()).ok().filter(|report| report.number == next.number);
        Ok(report.map(|report| (report, next)))
    }

    /// The length of the record at `offset` and where its report begins, if all of it is there.
    fn length_at(&self, offset: u64) -> io::Result<Option<(u32, u64)>> {
        if offset + 4 > self.end {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.file.read_exact_at(&mut length, offset)?;
        let length = u32::from_le_bytes(length);
        Ok((length <= RECORD_BYTES_MAX && offset + 4 + u64::from(length) <= self.end).then_some((length, offset + 4)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vertigo::bounds::MESSAGE_BYTES_MAX;
    use vertigo::v1::{Finished, LogLine, ReportBatch};

    fn line(text: String) -> Body {
        Body::Log(LogLine { text })
    }

    fn rest(spool: &Spool, mut cursor: Cursor) -> Vec<u64> {
        let mut numbers = Vec::new();
        loop {
            let reports = spool.read(&mut cursor).unwrap();
            if reports.is_empty() {
                return numbers;
            }
            numbers.extend(reports.iter().map(|report| report.number));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn after_an_ack_exactly_the_rest_is_sent_again(
            lengths in prop::collection::vec(0usize..60_000, 0..30), acked in 0u64..40, reopened in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("reports");
            let mut spool = Spool::open(&path).unwrap();
            for length in &lengths {
                spool.append(Millis(5), line("x".repeat(*length))).unwrap();
            }
            if reopened {
                spool = Spool::open(&path).unwrap();
            }
            let total = lengths.len() as u64;
            prop_assert_eq!(spool.last(), total);
            let expected: Vec<u64> = (acked + 1..=total).collect();
            prop_assert_eq!(rest(&spool, spool.after(acked).unwrap()), expected);
        }

        #[test]
        fn a_torn_tail_costs_one_report_and_numbers_go_on(count in 1u64..8, torn in 1u64..20, zeros in any::<bool>()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("reports");
            let mut spool = Spool::open(&path).unwrap();
            for n in 0..count {
                spool.append(Millis(n), line("twenty bytes or more".to_owned())).unwrap();
            }
            let (size, mut file) = (spool.end, OpenOptions::new().append(true).open(&path).unwrap());
            if zeros {
                file.write_all(&vec![0; torn as usize]).unwrap(); // as some file systems do after a power cut
            } else {
                file.set_len(size - torn).unwrap();
            }
            let mut spool = Spool::open(&path).unwrap();
            let kept = if zeros { count } else { count - 1 };
            prop_assert_eq!(spool.last(), kept);
            spool.append(Millis(9), line("next".to_owned())).unwrap();
            prop_assert_eq!(rest(&spool, Cursor::START), (1..=kept + 1).collect::<Vec<_>>());
        }
    }

    /// The longest report behind the most that may stand before it.
    #[test]
    fn every_batch_fits_into_a_message_and_a_longer_report_is_refused_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reports");
        let mut spool = Spool::open(&path).unwrap();
        spool.append(Millis(1), line("x".repeat(BATCH_BYTES as usize - 40))).unwrap();
        let refused = spool.append(Millis(1), line("x".repeat(REPORT_BYTES_MAX))).unwrap_err();
        assert!(refused.to_string().contains("31.1 MiB"), "{refused}");
        spool.append(Millis(1), line("x".repeat(REPORT_BYTES_MAX - 40))).unwrap();
        let mut start = Cursor::START;
        let batch = ReportBatch {
            attempt_id: vertigo::id::AttemptId::new().to_string(),
            epoch: u64::MAX,
            reports: spool.read(&mut start).unwrap(),
        };
        assert_eq!(batch.reports.len(), 2);
        assert!(batch.encoded_len() <= MESSAGE_BYTES_MAX);
    }

    #[test]
    fn nothing_comes_after_the_end_and_a_restart_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reports");
        let mut spool = Spool::open(&path).unwrap();
        spool.append(Millis(1), line("a".to_owned())).unwrap();
        assert!(!spool.is_finished());
        spool.append(Millis(2), Body::Finished(Finished::default())).unwrap();
        spool.append(Millis(3), line("late".to_owned())).unwrap();
        let spool = Spool::open(&path).unwrap();
        assert_eq!((spool.last(), spool.is_finished()), (2, true));
    }
}
