use super::*;
use crate::config::{Config, Secrets};
use crate::read::read;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;

fn real() -> Option<(Vec<Row>, Book)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vertigo/raw");
    if !folder.exists() {
        vertigo_testkit::skipped(&format!("{} is not there", folder.display()));
        return None;
    }
    let files = std::fs::read_dir(folder).unwrap().map(|file| {
        let path = file.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), BufReader::new(std::fs::File::open(path).unwrap()))
    });
    let mut book = Book::default();
    let rows = read(files.collect(), &mut book).unwrap();
    Some((rows, book))
}

#[test]
fn real_data_is_touched_where_a_reader_would_touch_it() {
    let Some((rows, mut book)) = real() else { return };
    let filters = Filters { code_lines_min: None, secrets: Secrets::Note, ..Filters::default() };
    let left = apply(rows, &filters, &mut book);
    assert_eq!(left.len(), book.entries.len());
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for entry in &book.entries {
        for touch in entry.touched.iter().filter(|touch| touch.rule.stage == Stage::Filters) {
            *counts.entry((touch.rule.name, entry.origin.file.to_string())).or_default() += 1;
            if std::env::var_os("SHOW_HITS").is_some() {
                println!("{} {} {}", touch.rule.name, entry.origin, touch.detail);
            }
        }
    }
    println!("{counts:#?}");
}
