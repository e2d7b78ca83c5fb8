//! Compiles the one C++ file against the headers of the linked RocksDB.

use std::env;
use std::path::PathBuf;

const SOURCE: &str = "src/store/rocks/directories.cc";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-env-changed=ROCKSDB_INCLUDE_DIR");
    let bundled = || Some(PathBuf::from(env::var_os("DEP_ROCKSDB_CARGO_MANIFEST_DIR")?).join("rocksdb/include"));
    let headers = env::var_os("ROCKSDB_INCLUDE_DIR").map(PathBuf::from).or_else(bundled);
    let headers = headers.expect("librocksdb-sys says where its sources are, or ROCKSDB_INCLUDE_DIR does");
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .define("NDEBUG", Some("1"))
        .include(headers)
        .warnings(false)
        .file(SOURCE)
        .compile("vectrove_directories");
}
