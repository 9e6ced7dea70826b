//! The command line of a benchmark, and the places of its tables in `docs/performance.md`.

use std::path::Path;

/// What the command line asks for: parts by name (none: all), and whether to write the tables.
pub struct Wanted {
    parts: Vec<String>,
    write: bool,
}

impl Wanted {
    /// Reads the command line; ends the program where it names a part that is not `known`.
    pub fn read(known: &[&str]) -> Wanted {
        // Cargo passes `--bench`.
        let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
        let write = args.iter().any(|arg| arg == "--write");
        let parts: Vec<String> = args.into_iter().filter(|arg| !arg.starts_with("--")).collect();
        if let Some(stranger) = parts.iter().find(|name| !known.contains(&name.as_str())) {
            eprintln!("there is no part `{stranger}`; the parts are {}", known.join(", "));
            std::process::exit(2);
        }
        Wanted { parts, write }
    }

    /// Whether a part is asked for.
    pub fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|name| name == part)
    }

    /// Prints a part's table, and with `--write` puts it between its marks in `docs/performance.md`.
    pub fn tell(&self, part: &str, table: &str) {
        println!("## {part}\n\n{table}");
        if self.write {
            put(part, table);
        }
    }
}

fn put(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let text = std::fs::read_to_string(&path).expect("docs/performance.md");
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let from = text.find(&open).unwrap_or_else(|| panic!("docs/performance.md has no {open}")) + open.len();
    let to = from + text[from..].find(&close).unwrap_or_else(|| panic!("docs/performance.md has no {close}"));
    std::fs::write(&path, format!("{}{}\n{}", &text[..from], table.trim_end(), &text[to..])).expect("written");
}
