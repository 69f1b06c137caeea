//! Settings of the two RocksDB instances.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel,
    Options,
};

/// Log files beyond this size make the engine write its memtables out: bounds recovery.
const LOG_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Descriptors for table files, per instance.
const OPEN_FILES_MAX: i32 = 512;
/// Background writing is spread instead of coming in one burst that a sync would wait for.
const BYTES_PER_SYNC: u64 = 1024 * 1024;
/// False positives of one in a hundred.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// Settings of a whole instance whose memtables share `memtable_bytes`.
pub(super) fn instance(memtable_bytes: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(memtable_bytes);
    options.set_max_total_wal_size(LOG_BYTES_MAX);
    // A torn end is the trace of a crash; damage before it means that synced records are lost, and
    // then the instance must not open as if nothing had happened.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_keep_log_file_num(4);
    options.set_log_level(LogLevel::Warn);
    // One thread writes.
    options.set_allow_concurrent_memtable_write(false);
    options
}

/// Settings of an ordinary table.
pub(super) fn table(cache: &Cache, memtable_bytes: usize) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(memtable_bytes);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::Lz4);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    options.set_block_based_table_factory(&blocks);
    options
}

/// Settings of the transaction index: sorted files come ready-made, never overlap and are never
/// merged. Keys are random, so compression would find nothing.
pub(super) fn tx_index(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_disable_auto_compactions(true);
    options.set_compression_type(DBCompressionType::None);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    // Index and filters in parts: a lookup loads one part per file instead of all filters.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_cache_index_and_filter_blocks(true);
    options.set_block_based_table_factory(&blocks);
    options
}
