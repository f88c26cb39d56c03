#pragma once

#include <string>
#include <vector>

#include "compress/encoder.h"
#include "plugins/sdk.hpp"

namespace sluice::compress {

/// A media type, in lower case, in which one '*' stands for anything.
class TypePattern {
 public:
  explicit TypePattern(std::string_view text);
  [[nodiscard]] bool matches(std::string_view type) const;

 private:
  std::string prefix_;
  std::string suffix_;
  bool exact_;
};

/// The media type alone of a Content-Type.
std::string_view media_type(std::string_view content_type);
bool matches_any(const std::vector<TypePattern>& patterns, std::string_view type);

struct Config {
  explicit Config(Setup& setup);

  std::vector<Coding> codings{Coding::zstd, Coding::br, Coding::gzip};  // the one preferred first
  std::vector<TypePattern> types;
  std::vector<TypePattern> flush_types;
  uint64_t min_length = 1024;
  Levels levels{5, 4, 3};
  uint32_t max_streams = 64;

  std::array<uint32_t, kCodings> responses{};  // counters
  uint32_t bytes_in = 0;
  uint32_t bytes_out = 0;
  uint32_t refused = 0;
};

}  // namespace sluice::compress
