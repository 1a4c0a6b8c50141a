//! `pulldown-cmark`: renders a generated Markdown document to HTML.

use guest_crates::{Random, WORDS, measure};
use pulldown_cmark::{Options, Parser, html};
use std::fmt::Write;
use std::process::ExitCode;

fn sentence(random: &mut Random, text: &mut String) {
    for _ in 0..6 + random.below(12) {
        let word = random.choose(&WORDS);
        match random.below(14) {
            0 => write!(text, "*{word}* "),
            1 => write!(text, "**{word}** "),
            2 => write!(text, "`{word} & <{word}>` "),
            3 => write!(text, "[{word}](https://example.test/{word} \"{word}\") "),
            _ => write!(text, "{word} "),
        }
        .expect("writing to a string cannot fail");
    }
    text.push('\n');
}

fn document(random: &mut Random) -> String {
    let mut text = String::new();
    for section in 0..400 {
        writeln!(text, "\n{} Section {section}\n", "#".repeat(1 + section % 4)).expect("as above");
        sentence(random, &mut text);
        match random.below(5) {
            0 => {
                for item in 0..5 {
                    text.push_str(if item % 2 == 0 { "- " } else { "    1. " });
                    sentence(random, &mut text);
                }
            }
            1 => {
                text.push_str("\n| one | two | three |\n|-----|:---:|------:|\n");
                for _ in 0..4 {
                    let (left, right) = (random.choose(&WORDS), random.choose(&WORDS));
                    writeln!(text, "| {left} | *{right}* | {} |", random.below(1000)).expect("as above");
                }
            }
            2 => text.push_str("\n```rust\nfn main() { println!(\"<&>\"); }\n```\n"),
            3 => {
                text.push_str("\n> ");
                sentence(random, &mut text);
                text.push_str("> with a second line and a hard break  \n> here\n");
            }
            _ => sentence(random, &mut text),
        }
    }
    text
}

fn main() -> ExitCode {
    let text = document(&mut Random::new(5));
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    measure(350, |_, checksum| {
        let mut page = String::with_capacity(text.len() * 2);
        html::push_html(&mut page, Parser::new_ext(&text, options));
        checksum.word(page.len() as u64);
        checksum.bytes(&page.as_bytes()[page.len() - 1024..]);
    })
}
