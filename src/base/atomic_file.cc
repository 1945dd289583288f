#include "base/atomic_file.hpp"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "base/units.hpp"

namespace hpdlf {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// Closes on every way out of a function.
struct Descriptor {
  int fd;
  explicit Descriptor(int opened) : fd(opened) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

int open_retrying(const fs::path& path, int flags, mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

/// The descriptor of this process that `path` stands for, as /proc/self/fd/1 does; -1 if it stands for none.
int own_descriptor(const fs::path& path) {
  std::error_code ignored;
  if (fs::canonical(folder_of(path), ignored) != fmt::format("/proc/{}/fd", ::getpid())) return -1;
  return std::atoi(path.filename().c_str());
}

/// What symbolic links lead to, there or not; an open file that /dev/stdout leads to keeps its name in /proc.
fs::path behind_links(fs::path path) {
  constexpr int kMostLinks = 40;  // as many as Linux follows
  std::error_code none;
  for (int i = 0; i < kMostLinks && fs::is_symlink(path, none) && own_descriptor(path) < 0; ++i)
    path = folder_of(path) / fs::read_symlink(path, none);
  return path;
}

/// Reads to the end into `content` (bytes or text), growing it as needed: the file may change size meanwhile.
template <class Content>
Content read_whole(const fs::path& path) {
  const Descriptor file{open_retrying(path, O_RDONLY)};
  if (file.fd < 0) throw file_error("read", path, errno);
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) throw file_error("read", path, errno);
  if (S_ISDIR(status.st_mode)) throw file_error("read", path, EISDIR);

  Content content;
  content.resize(static_cast<std::size_t>(status.st_size) +
                 1);  // + 1: the end is seen without growing
  std::size_t size = 0;
  while (true) {
    if (size == content.size()) content.resize(2 * size);
    const ssize_t n = ::read(file.fd, content.data() + size, content.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error("read", path, errno);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  content.resize(size);
  return content;
}

}  // namespace

Error file_error(std::string_view action, const fs::path& path, int error) {
  std::string message = fmt::format("cannot {} {}: {}", action, path.string(),
                                    std::generic_category().message(error));
  std::string hint;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    std::error_code ignored;
    const fs::path folder = folder_of(path);
    const auto space = fs::space(folder, ignored);
    if (!ignored)
      message += fmt::format(" ({:.1f} MiB free in {})",
                             mib(static_cast<std::int64_t>(space.available)), folder.string());
    hint = error == EFBIG
               ? "the file is larger than the limit `ulimit -f` or the file system allows"
               : "free some space there, or write to another disk";
  }
  return Error(std::move(message), std::move(hint));
}

AtomicFile::AtomicFile(fs::path path) : path_(behind_links(std::move(path))) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path_, ignored);
  if (const int own = own_descriptor(path_); own >= 0)
    fd_ = ::fcntl(own, F_DUPFD_CLOEXEC, 0);  // goes on where its other users are
  else if (fs::exists(status) && !fs::is_regular_file(status))
    fd_ = open_retrying(path_, O_WRONLY);
  else
    open_temporary();
  if (fd_ < 0) throw file_error("write", path_, errno);
}

void AtomicFile::open_temporary() {
  static std::atomic<unsigned> serial{0};
  // A killed process of the same id may have left the name behind: take the next one.
  do {
    temporary_ = folder_of(path_) / fmt::format("{}{}-{}-{}", kTemporaryPrefix, ::getpid(),
                                                serial++, path_.filename().string());
    fd_ = open_retrying(temporary_, O_WRONLY | O_CREAT | O_EXCL, 0666);
  } while (fd_ < 0 && errno == EEXIST);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  HPDLF_ASSERT(fd_ >= 0, "write to {} after commit", path_.string());
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error("write", path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFile::commit(FolderSync sync) {
  HPDLF_ASSERT(fd_ >= 0, "{} is committed twice", path_.string());
  if (temporary_.empty()) {  // a device or a pipe has it already
    if (::close(std::exchange(fd_, -1)) != 0) throw file_error("write", path_, errno);
    return;
  }
  if (::fsync(fd_) != 0) throw file_error("write", path_, errno);
  if (::close(std::exchange(fd_, -1)) != 0) throw file_error("write", path_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw file_error("write", path_, errno);
  temporary_.clear();
  if (sync == FolderSync::now) sync_folder(folder_of(path_));
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  write_file_atomically(path, std::as_bytes(std::span(content)));
}

std::vector<std::byte> read_file(const fs::path& path) {
  return read_whole<std::vector<std::byte>>(path);
}

std::string read_text_file(const fs::path& path) { return read_whole<std::string>(path); }

void sync_folder(const fs::path& folder) {
  const Descriptor directory{open_retrying(folder, O_RDONLY | O_DIRECTORY)};
  if (directory.fd < 0) throw file_error("open folder", folder, errno);
  // Some network file systems cannot sync a folder and say EINVAL: their renames are durable or never will be.
  if (::fsync(directory.fd) != 0 && errno != EINVAL)
    throw file_error("flush folder", folder, errno);
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw file_error("make folder", folder, error.value());
}

}  // namespace hpdlf
