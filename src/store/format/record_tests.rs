use super::*;
use crate::schema::Type;
use serde_json::json;

fn document() -> DocumentRow {
    DocumentRow {
        generation: 7,
        namespace: NamespaceId(3),
        commit: Commit(300),
        id: DocId::from("note-17"),
        metadata: Value::from(json!({"a": [null, true, -1, 18446744073709551615u64, 0.5, "x"], "b": {"c": {}}})),
        text: Some("text".into()),
        created_at_ms: 1,
        updated_at_ms: 2,
    }
}

fn log_record() -> LogRecord {
    let operation = LogOperation {
        kind: LogKind::Put,
        collection: CollectionId(1),
        slot: Slot(2),
        generation: 3,
        row_crc: 4,
        vector_crc: 5,
    };
    let freed = LogOperation { kind: LogKind::Free, row_crc: 0, vector_crc: 0, ..operation };
    LogRecord {
        commit: Commit(300),
        time_ms: 1_700_000_000_000,
        operation_id: Some(Uuid::from_bytes([0xab; 16])),
        operations: vec![operation, freed],
    }
}

fn entry() -> CatalogEntry {
    CatalogEntry {
        name: "notes".into(),
        state: CatalogState::Active,
        config: CollectionConfig::new(384).metric(Metric::Euclidean).normalize(true),
        created_at_ms: 1,
        metadata: Value::object(),
    }
}

fn with_schema() -> CatalogEntry {
    let schema = Schema::new().field("tag", Type::String.one_of(["a", "b"]).required()).strict();
    CatalogEntry { config: entry().config.schema(schema), ..entry() }
}

fn with_metadata() -> CatalogEntry {
    let metadata = serde_json::json!({"embedder": "e5-small", "n": u64::MAX, "score": 0.5});
    CatalogEntry { metadata: metadata.into(), ..with_schema() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of the format. To change it, raise the version, and keep reading the old one.
#[test]
fn golden_bytes() {
    let golden = [
        ("document", document().encode(), include_str!("golden/document.hex")),
        ("vector", VectorRow::encode(7, &[3.0, -4.0], 5.0), include_str!("golden/vector.hex")),
        ("log", log_record().encode(), include_str!("golden/log.hex")),
        ("catalog", with_metadata().encode(), include_str!("golden/catalog-7.hex")),
        ("identity", Identity { store: Uuid::from_bytes([0xab; 16]) }.encode(), include_str!("golden/identity.hex")),
    ];
    for (name, bytes, expected) in golden {
        assert_eq!(hex(&bytes), expected.trim(), "{name}");
    }
}

/// Each version of catalog entries from 1 to 6 lacks what later versions added. The collection gets
/// the defaults.
#[test]
fn older_catalog_entries_are_read() {
    let older = [
        (include_str!("golden/catalog-1.hex"), entry()),
        (include_str!("golden/catalog-2.hex"), entry()),
        (include_str!("golden/catalog-3.hex"), entry()),
        (include_str!("golden/catalog-4.hex"), entry()),
        (include_str!("golden/catalog-5.hex"), with_schema()),
        (include_str!("golden/catalog-6.hex"), with_schema()),
    ];
    for (golden, expected) in older.map(|(golden, expected)| (golden.trim(), expected)) {
        let bytes = |at: usize| u8::from_str_radix(&golden[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..golden.len()).step_by(2).map(bytes).collect();
        assert_eq!(CatalogEntry::decode(&bytes).unwrap(), expected);
        assert!(CatalogEntry::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
        let newer = [&[8], &bytes[1..]].concat();
        assert!(matches!(CatalogEntry::decode(&newer), Err(Error::UnsupportedFormat { found: 8, supported: 7, .. })));
    }
}

#[test]
fn every_way_to_index_reads_back() {
    let config = || CollectionConfig::new(7).m(5).ef_construction(77);
    for config in [
        config().index(Index::Flat),
        config().quantization(Quantization::None),
        config().adapt_codes(false),
        config().distance("mine"),
        config().residency(Residency::Mapped),
        config().residency(Residency::Disk),
        config().schema(Schema::new().strict()),
    ] {
        let entry = CatalogEntry { config, ..entry() };
        assert_eq!(CatalogEntry::decode(&entry.encode()).unwrap(), entry);
    }
}

#[test]
fn records_read_back() {
    assert_eq!(DocumentRow::decode(&document().encode()).unwrap(), document());
    let (header, id) = DocumentHeader::decode_with_id(&document().encode()).unwrap();
    assert_eq!((header, id), (DocumentHeader::decode(&document().encode()).unwrap(), document().id));
    for id in [DocId::from(u64::MAX), DocId::generate()] {
        let row = DocumentRow { id, text: None, metadata: Value::object(), ..document() };
        assert_eq!(DocumentRow::decode(&row.encode()).unwrap(), row);
    }
    let vector = VectorRow::decode(&VectorRow::encode(7, &[3.0, -4.0], 5.0)).unwrap();
    assert_eq!(vector, VectorRow { generation: 7, dimension: 2, components: vec![3.0, -4.0] });
    assert_eq!(LogRecord::decode(&log_record().encode()).unwrap(), log_record());
    for entry in [entry(), with_metadata()] {
        assert_eq!(CatalogEntry::decode(&entry.encode()).unwrap(), entry);
    }
}

#[test]
fn every_cut_and_every_flipped_bit_of_a_checksummed_record_is_an_error() {
    for bytes in [VectorRow::encode(7, &[3.0, -4.0], 5.0), log_record().encode()] {
        let fails = |bytes: &[u8]| VectorRow::decode(bytes).is_err() && LogRecord::decode(bytes).is_err();
        for length in 0..bytes.len() {
            assert!(fails(&bytes[..length]), "cut to {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(fails(&damaged), "bit {bit}");
        }
    }
}

#[test]
fn no_damage_makes_a_decoder_panic_or_allocate_without_bound() {
    for bytes in [document().encode(), entry().encode(), with_schema().encode()] {
        for length in 0..bytes.len() {
            assert!(DocumentRow::decode(&bytes[..length]).is_err() || CatalogEntry::decode(&bytes[..length]).is_ok());
        }
        for position in 0..bytes.len() {
            for byte in 0..=255 {
                let mut damaged = bytes.clone();
                damaged[position] = byte;
                let _ = (DocumentRow::decode(&damaged), CatalogEntry::decode(&damaged));
            }
        }
    }
}

#[test]
fn hostile_nesting_is_an_error() {
    let body =
        |metadata| DocumentBody { id: StoredId::U64(1), text: None, created_at_ms: 0, updated_at_ms: 0, metadata };
    let mut deep = vec![0u8; DOCUMENT_HEADER];
    deep[0] = DOCUMENT_VERSION;
    append_body(
        &mut deep,
        &body((0..1_000_000).map(|_| MetadataToken::Array(1)).chain([MetadataToken::Null]).collect()),
    );
    assert!(DocumentRow::decode(&deep).is_err());
    let mut claim = vec![0u8; DOCUMENT_HEADER];
    claim[0] = DOCUMENT_VERSION;
    append_body(&mut claim, &body(vec![MetadataToken::Array(u32::MAX)]));
    assert!(DocumentRow::decode(&claim).is_err());
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut bytes = document().encode();
    bytes[0] = 2;
    assert!(matches!(DocumentRow::decode(&bytes), Err(Error::UnsupportedFormat { found: 2, supported: 1, .. })));
}
