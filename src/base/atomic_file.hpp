// Files that are there whole or not at all, and errors that say why a file could not be had.
//
// A new content goes to a temporary name in the same folder, is flushed to the disk (fsync), and takes the final name
// by rename(2): a crash, a kill -9 or a full disk at any moment leaves the old file or the new one, never a part of it.
// A symbolic link stays and what it leads to is replaced; a device or a pipe (-o /dev/stdout) is written to as it is.
// Temporary names begin with kTemporaryPrefix, so that a later run can remove what a killed one left.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace hpdlf {

inline constexpr std::string_view kTemporaryPrefix = ".partial-";

/// Where commit() makes sure that the new name survives a power failure.
enum class FolderSync {
  now,    ///< before commit() returns
  later,  ///< the caller calls sync_folder() once for many files
};

/// One file being written. Destroyed without commit(): nothing remains, an existing file at `path` is untouched.
class AtomicFile {
 public:
  /// @throws Error if the folder does not exist or may not be written, or if `path` is a folder.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. @throws Error naming the path, the reason and, on a full disk, the space that is left.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Flushes and takes the final name; call once, last.
  void commit(FolderSync sync = FolderSync::now);

 private:
  void open_temporary();

  std::filesystem::path path_, temporary_;  ///< no temporary_: written to directly
  int fd_ = -1;
};

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> content);
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// The whole content. @throws Error naming path and reason.
[[nodiscard]] std::vector<std::byte> read_file(const std::filesystem::path& path);
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path);

/// Makes the names in `folder` survive a power failure. @throws Error.
void sync_folder(const std::filesystem::path& folder);

/// Makes `folder` and its parents. @throws Error.
void make_folders(const std::filesystem::path& folder);

/// "cannot write a/b.bin: No space left on device (12.0 MiB free in a)"; the hint names what frees space.
/// @param error  an errno value.
[[nodiscard]] Error file_error(std::string_view action, const std::filesystem::path& path,
                               int error);

}  // namespace hpdlf
