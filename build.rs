//! Tells the program which compiler and which revision it was built from, for `--version` and `smtptls_build_info`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The files that move with the checked-out commit; absent where this is no checkout.
    for file in [".git/HEAD", ".git/logs/HEAD"] {
        if std::path::Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    // `rustc 1.95.0 (59807616e 2026-04-14)`: the second word is the version.
    let version = output(&compiler, &["--version"]);
    tell("SMTPTLS_RUSTVERSION", version.split(' ').nth(1).unwrap_or_default());
    tell("SMTPTLS_REVISION", &output("git", &["rev-parse", "--short=12", "HEAD"]));
}

/// What the environment says goes first: a packager knows the revision where there is no checkout.
fn tell(variable: &str, found: &str) {
    println!("cargo::rerun-if-env-changed={variable}");
    let value = env::var(variable).unwrap_or_else(|_| found.to_owned());
    println!("cargo::rustc-env={variable}={value}");
}

/// What a command prints, or nothing where it cannot be run.
fn output(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().ok().filter(|output| output.status.success());
    output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default().trim().to_owned()
}
