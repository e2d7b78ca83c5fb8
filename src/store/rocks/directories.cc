// One descriptor for each folder, however many column families sync it.
//
// RocksDB opens the database's folder once more for every column family that is created, and keeps it open until the
// database is closed: a thousand families take a thousand descriptors. Its C interface has no way to share them, so a
// file system is put between that does. Everything else goes to the file system below it.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "rocksdb/options.h"

namespace {

using namespace ROCKSDB_NAMESPACE;

// A folder as one of those who share it has it.
class SharedDirectory : public FSDirectory {
 public:
  explicit SharedDirectory(std::shared_ptr<FSDirectory> shared) : shared_(std::move(shared)) {}

  IOStatus Fsync(const IOOptions& options, IODebugContext* dbg) override {
    return shared_ ? shared_->Fsync(options, dbg) : IOStatus::IOError("the folder is closed");
  }

  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* dbg,
                               const DirFsyncOptions& sync_options) override {
    return shared_ ? shared_->FsyncWithDirOptions(options, dbg, sync_options)
                   : IOStatus::IOError("the folder is closed");
  }

  IOStatus Close(const IOOptions&, IODebugContext*) override {
    shared_.reset();
    return IOStatus::OK();
  }

  size_t GetUniqueId(char* id, size_t max_size) const override {
    return shared_ ? shared_->GetUniqueId(id, max_size) : 0;
  }

 private:
  std::shared_ptr<FSDirectory> shared_;
};

// Opens no folder that is open.
class SharingFileSystem : public FileSystemWrapper {
 public:
  explicit SharingFileSystem(const std::shared_ptr<FileSystem>& target) : FileSystemWrapper(target) {}

  const char* Name() const override { return "vectrove.SharedDirectories"; }

  IOStatus NewDirectory(const std::string& name, const IOOptions& options,
                        std::unique_ptr<FSDirectory>* result, IODebugContext* dbg) override {
    std::lock_guard<std::mutex> guard(mutex_);
    std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
    std::shared_ptr<FSDirectory> shared = open_[name].lock();
    if (!shared) {
      std::unique_ptr<FSDirectory> opened;
      IOStatus status = FileSystemWrapper::NewDirectory(name, options, &opened, dbg);
      if (!status.ok()) {
        return status;
      }
      shared = std::move(opened);
      open_[name] = shared;
    }
    result->reset(new SharedDirectory(std::move(shared)));
    return IOStatus::OK();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<FSDirectory>> open_;
};

}  // namespace

// Has databases that are opened with these options share descriptors of folders. `options` is what the C interface
// calls `rocksdb_options_t`, whose only member is an `Options`.
extern "C" void vectrove_share_directories(void* options) {
  // Never freed: databases may be open until the process ends.
  static Env* const env = NewCompositeEnv(std::make_shared<SharingFileSystem>(FileSystem::Default())).release();
  static_cast<Options*>(options)->env = env;
}
