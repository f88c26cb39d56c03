// Encoder: one body on its way through one of the libraries. Encoders are large (some hundred KiB) and slow to make, so a worker
// keeps a few in its EncoderPool. Worker thread only.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "compress/accept_encoding.h"

namespace sluice::compress {

/// By Coding.
using Levels = std::array<int, kCodings>;

/// What brotli asks for again with every body: its blocks are kept, up to kMaxKept bytes.
class BlockCache {
 public:
  static constexpr size_t kMaxKept = size_t{8} << 20;

  BlockCache() = default;
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  void* take(size_t bytes);
  void give_back(void* block);
  [[nodiscard]] size_t kept_bytes() const { return kept_bytes_; }

 private:
  struct Block;
  std::vector<Block*> kept_;
  size_t kept_bytes_ = 0;
};

class Encoder {
 public:
  enum class Step : uint8_t {
    go_on,  // keep what is not worth a block yet
    flush,  // all that came can be decoded from what comes out
    finish
  };
  struct Result {
    size_t written;
    bool more;  // call again, with what is left of `in` and the same step
    bool ok;    // false: it cannot go on
  };

  virtual ~Encoder() = default;
  /// A new body begins. False: there is no memory.
  virtual bool begin() = 0;
  /// Takes from the front of `in`, which it shortens.
  virtual Result run(std::string_view& in, Step step, std::span<char> out) = 0;
};

/// `blocks` outlives it.
std::unique_ptr<Encoder> make_encoder(Coding coding, int level, BlockCache& blocks);

class EncoderPool {
 public:
  EncoderPool(const Levels& levels, size_t max_lent) : levels_(levels), max_lent_(max_lent) {}

  /// Ready for a body; nullptr if `max_lent` are lent already.
  std::unique_ptr<Encoder> take(Coding coding);
  void give_back(Coding coding, std::unique_ptr<Encoder> encoder);

 private:
  static constexpr size_t kMaxIdle = 4;  // of each coding

  Levels levels_;
  size_t max_lent_;
  size_t lent_ = 0;
  BlockCache blocks_;
  std::array<std::vector<std::unique_ptr<Encoder>>, kCodings> idle_;
};

}  // namespace sluice::compress
