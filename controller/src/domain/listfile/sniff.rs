//! Files that are no lists: told by their first bytes.
use super::Format;
use super::text::unmarked;

/// Bytes that are looked at.
const LOOKED_AT: usize = 1024;

/// What begins like this, in words.
const MAGICS: [(&[u8], &str); 9] = [
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"\xff\xfe", "UTF-16; it must be UTF-8 or ASCII"),
    (b"\xfe\xff", "UTF-16; it must be UTF-8 or ASCII"),
    (b"\x7fELF", "a program"),
    (b"%PDF-", "a PDF document"),
];

/// What else a file is, if it is plainly no list of this format.
pub(super) fn foreign(bytes: &[u8], format: Format) -> Option<String> {
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some((*what).to_owned());
    }
    let start = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    if start.contains(&0) {
        return Some("binary: it holds zero bytes".to_owned());
    }
    let text = unmarked(start).trim_ascii_start();
    if text.starts_with(b"<") {
        return Some("an HTML or XML page".to_owned());
    }
    if format.is_document() || matches!(format, Format::DropJson | Format::AsnDrop) {
        return text.is_empty().then(|| "empty where JSON is due".to_owned());
    }
    looks_like_json(text).then(|| super::json::without_records(bytes, "JSON where lines of text are due"))
}

/// Whether a text begins as an object, or as an array of anything but numbers.
pub(super) fn looks_like_json(text: &[u8]) -> bool {
    match text {
        [b'{', ..] => true,
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start(), [b'{' | b'[' | b'"' | b']', ..]),
        _ => false,
    }
}
