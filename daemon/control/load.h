// Reads the configuration's files and joins them: `include: routes.d/*.yaml` at the top of a file names
// further files, whose top-level maps and lists are added to its own. Nothing is interpreted here but that
// one key.
#pragma once

#include <string>
#include <string_view>

#include "base/source_files.h"
#include "control/diagnostic.h"
#include "control/tree.h"

namespace sluice::control {

constexpr size_t kMaxFileBytes = size_t{64} << 20;
constexpr size_t kMaxIncludeDepth = 8;

/// The joined tree's root, or nullptr after errors that leave nothing to check (unreadable file, syntax).
/// An include's path is relative to the file that names it; a pattern's files are read in alphabetical order,
/// after the including file's own entries. A key that two files give is an error that names both places. `sources` gets what
/// was read, or tried, whatever came of it.
Node* load_file(const std::string& path, Tree& tree, Diagnostics& diagnostics, SourceFiles& sources);

/// As load_file, for a text that does not stand in a file: `include` is refused.
Node* load_text(std::string_view yaml, std::string_view name, Tree& tree, Diagnostics& diagnostics);

/// The path that a scalar of the configuration names, made absolute: it is relative to the folder of its
/// file.
std::string resolve_path(const Diagnostics& diagnostics, const Node& node);

/// The whole of a small or large file; nothing and `error` ("No such file or directory") if that fails. With
/// `regular_only` a device, pipe or directory is refused.
bool read_whole_file(const std::string& path, size_t max_bytes, bool regular_only, std::string& text,
                     std::string& error);

/// The content of the file that the scalar `file` names, a certificate say, of at most a mebibyte; empty if `file` is nullptr. False,
/// and reported under the name of `key`, if it cannot be read.
bool read_named_file(const Node* file, std::string_view key, std::string& content, Diagnostics& diagnostics,
                     SourceFiles& sources);

/// The secret in the file that the scalar `file` names, without the ends of line after it. False, and reported under the name
/// of `key`, if it cannot be read.
bool read_secret_file(const Node& file, std::string_view key, std::string& secret, Diagnostics& diagnostics,
                      SourceFiles& sources);

}  // namespace sluice::control
