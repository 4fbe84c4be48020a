//! A curve's CSV: comment lines that say where it comes from, and its measurements.
//!
//! Pure. Must not open files. Invariant: a picture follows from a sheet alone, so it can be drawn again anywhere.

use super::row::{HEAD, Row};

/// All that is known of one curve.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Sheet {
    /// Told under the picture: command, machine, date, and what is special about this run.
    pub(crate) remarks: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

impl Sheet {
    /// The file's text.
    pub(crate) fn text(&self) -> String {
        let remarks = self.remarks.iter().map(|remark| format!("# {}\n", remark.replace('\n', " ")));
        let rows = self.rows.iter().map(|row| row.line() + "\n");
        remarks.chain([format!("{HEAD}\n")]).chain(rows).collect()
    }

    /// Reads a file's text; the error says which line is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut sheet = Self::default();
        let mut has_head = false;
        for (index, line) in text.lines().enumerate() {
            if let Some(remark) = line.strip_prefix('#') {
                sheet.remarks.push(remark.trim().to_owned());
            } else if line == HEAD {
                has_head = true;
            } else if !line.trim().is_empty() {
                let row = Row::parse(line).map_err(|error| format!("line {}: {error}", index + 1))?;
                sheet.rows.push(row);
            }
        }
        if has_head { Ok(sheet) } else { Err("no line with the columns' names".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn a_sheet_comes_back_as_it_was_written() {
        let sheet = Sheet {
            remarks: vec!["command: loadtest curves".to_owned(), "date: 2026-11-21".to_owned()],
            rows: vec![row("bare", 1_000.0, 0, 31.5), row("tapecast", 1_000.0, 1, 29.25)],
        };
        assert_eq!(Sheet::parse(&sheet.text()), Ok(sheet));
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number() {
        let text = format!("# x\n{HEAD}\nnonsense\n");
        assert!(Sheet::parse(&text).expect_err("nonsense").starts_with("line 3: "));
        assert!(Sheet::parse("# only remarks\n").is_err());
    }
}
