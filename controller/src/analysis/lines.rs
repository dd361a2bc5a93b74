//! The lines of a file, whatever is in it: packed or not, of any length.
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;

use crate::domain::http::line::LONGEST_LINE;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// What files begin with that are packed in a way that is not read here, and what unpacks them.
const PACKED: [(&[u8], &str); 3] = [(b"BZh", "bzcat"), (b"\xfd7zXZ\0", "xzcat"), (b"\x28\xb5\x2f\xfd", "zstdcat")];

/// The lines of a file.
pub(crate) struct Lines<'a> {
    bytes: Box<dyn BufRead + 'a>,
    /// When nothing is read any more.
    end: Option<Instant>,
}

impl Lines<'static> {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be opened, or is packed in a way that is not known.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name the files in it"));
        }
        Self::of(file)
    }
}

impl<'a> Lines<'a> {
    /// The lines of what is read from there.
    ///
    /// # Errors
    /// It cannot be read, or is packed in a way that is not known.
    pub(crate) fn of(bytes: impl Read + 'a) -> io::Result<Self> {
        let mut bytes = BufReader::with_capacity(BUFFER, bytes);
        let start = bytes.fill_buf()?;
        if let Some((_, tool)) = PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
            let what = format!("it is packed; unpack it, as in `{tool} FILE | weir logs analyze -`");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if start.starts_with(b"\x1f\x8b") {
            let bytes = Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(bytes)));
            return Ok(Self { bytes, end: None });
        }
        Ok(Self { bytes: Box::new(bytes), end: None })
    }

    /// The same lines, the last of them at this moment: also where a little that is packed becomes a line without end.
    pub(crate) fn until(self, end: Instant) -> Self {
        Self { end: Some(end), ..self }
    }

    /// The next line without its end, if there is one. Of a line longer than is ever looked at, just more than that is
    /// kept.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let mut is_there = false;
        loop {
            let bytes = match self.bytes.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if self.end.is_some_and(|end| Instant::now() >= end) {
                return Ok(false);
            }
            if bytes.is_empty() {
                return Ok(is_there);
            }
            is_there = true;
            let end = memchr::memchr(b'\n', bytes);
            let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
            let room = (LONGEST_LINE + 1).saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            let used = end.map_or(bytes.len(), |end| end + 1);
            self.bytes.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Lines::of(bytes).unwrap();
        let mut all = Vec::new();
        let mut line = Vec::new();
        while lines.next(&mut line).unwrap() {
            all.push(line.clone());
        }
        all
    }

    #[test]
    fn lines_end_at_a_break_or_with_the_file() {
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"a\n\nb"), [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
        assert_eq!(lines(b"a\xff\0b\n"), [b"a\xff\0b".to_vec()]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_than_the_longest() {
        let mut bytes = vec![b'x'; 10 << 20];
        bytes.extend_from_slice(b"\nshort\n");
        let lines = lines(&bytes);
        assert_eq!((lines.len(), lines[0].len(), lines[1].as_slice()), (2, LONGEST_LINE + 1, b"short".as_slice()));
    }

    #[test]
    fn a_line_without_an_end_ends_with_the_time() {
        let end = Instant::now() + std::time::Duration::from_millis(50);
        let mut lines = Lines::of(io::repeat(b'x')).unwrap().until(end);
        assert!(!lines.next(&mut Vec::new()).unwrap());
        let past = Lines::of(b"a\n".as_slice()).unwrap().until(Instant::now());
        assert!(!{ past }.next(&mut Vec::new()).unwrap());
    }

    #[test]
    fn packed_files_are_read_or_the_way_out_is_told() {
        let mut packed = Vec::new();
        for text in ["a\nb\n", "c\n"] {
            // Two members, as where rotated files were put behind one another.
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            packed.extend(encoder.finish().unwrap());
        }
        assert_eq!(lines(&packed), [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
        let error = Lines::of(b"BZh91AY".as_slice()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("bzcat"), "{error}");
        let mut cut = Lines::of(&packed[..packed.len() - 12]).unwrap();
        let mut line = Vec::new();
        let end = std::iter::from_fn(|| Some(cut.next(&mut line))).find(|next| !matches!(next, Ok(true)));
        assert!(end.unwrap().is_err(), "a file that breaks off is no end");
    }
}
