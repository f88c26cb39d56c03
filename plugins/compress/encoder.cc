#include "compress/encoder.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace sluice::compress {

namespace {

// How far back br and zstd look. More helps few answers, and is memory of every body on its way.
constexpr int kWindowBits = 18;

class GzipEncoder final : public Encoder {
 public:
  explicit GzipEncoder(int level) {
    constexpr int kGzip = 16;
    constexpr int kMemoryLevel = 8;
    made_ = deflateInit2(&stream_, level, Z_DEFLATED, MAX_WBITS + kGzip, kMemoryLevel, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~GzipEncoder() override {
    if (made_) deflateEnd(&stream_);
  }

  bool begin() override { return made_ && deflateReset(&stream_) == Z_OK; }

  Result run(std::string_view& in, Step step, std::span<char> out) override {
    constexpr int kFlush[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int said = deflate(&stream_, kFlush[static_cast<size_t>(step)]);
    in.remove_prefix(in.size() - stream_.avail_in);
    const bool more = step == Step::finish ? said != Z_STREAM_END : stream_.avail_out == 0 || !in.empty();
    return {out.size() - stream_.avail_out, more, said != Z_STREAM_ERROR};
  }

 private:
  z_stream stream_{};
  bool made_ = false;
};

// The library cannot begin anew with the same state, but it asks for the same blocks again.
class BrotliEncoder final : public Encoder {
 public:
  BrotliEncoder(int level, BlockCache& blocks) : level_(level), blocks_(blocks) {}
  ~BrotliEncoder() override { drop(); }

  bool begin() override {
    drop();
    state_ = BrotliEncoderCreateInstance(
        [](void* blocks, size_t bytes) { return static_cast<BlockCache*>(blocks)->take(bytes); },
        [](void* blocks, void* block) { static_cast<BlockCache*>(blocks)->give_back(block); }, &blocks_);
    return state_ != nullptr &&
           BrotliEncoderSetParameter(state_, BROTLI_PARAM_QUALITY, static_cast<uint32_t>(level_)) == BROTLI_TRUE &&
           BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGWIN, kWindowBits) == BROTLI_TRUE;
  }

  Result run(std::string_view& in, Step step, std::span<char> out) override {
    constexpr BrotliEncoderOperation kOperation[] = {BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH,
                                                     BROTLI_OPERATION_FINISH};
    size_t in_left = in.size();
    size_t out_left = out.size();
    const auto* next_in = reinterpret_cast<const uint8_t*>(in.data());
    auto* next_out = reinterpret_cast<uint8_t*>(out.data());
    const bool ok = BrotliEncoderCompressStream(state_, kOperation[static_cast<size_t>(step)], &in_left, &next_in,
                                                &out_left, &next_out, nullptr) == BROTLI_TRUE;
    in.remove_prefix(in.size() - in_left);
    const bool unfinished = step == Step::finish && BrotliEncoderIsFinished(state_) == BROTLI_FALSE;
    const bool more = !in.empty() || BrotliEncoderHasMoreOutput(state_) == BROTLI_TRUE || unfinished;
    if (step == Step::finish && !more) drop();  // its blocks are free for others
    return {out.size() - out_left, more, ok};
  }

 private:
  void drop() {
    if (state_ != nullptr) BrotliEncoderDestroyInstance(std::exchange(state_, nullptr));
  }

  int level_;
  BlockCache& blocks_;
  BrotliEncoderState* state_ = nullptr;
};

class ZstdEncoder final : public Encoder {
 public:
  explicit ZstdEncoder(int level) : context_(ZSTD_createCCtx()) {
    if (context_ == nullptr) return;
    const auto set = [this](ZSTD_cParameter parameter, int value) {
      ZSTD_CCtx_setParameter(context_, parameter, value);
    };
    set(ZSTD_c_compressionLevel, level);
    set(ZSTD_c_windowLog, kWindowBits);
    // Tables that suit the window, and not one of two MiB, which the level would choose.
    set(ZSTD_c_hashLog, kWindowBits - 2);
    set(ZSTD_c_chainLog, kWindowBits - 2);
  }
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }

  bool begin() override {
    return context_ != nullptr && ZSTD_isError(ZSTD_CCtx_reset(context_, ZSTD_reset_session_only)) == 0;
  }

  Result run(std::string_view& in, Step step, std::span<char> out) override {
    constexpr ZSTD_EndDirective kDirective[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const size_t left = ZSTD_compressStream2(context_, &to, &from, kDirective[static_cast<size_t>(step)]);
    in.remove_prefix(from.pos);
    const bool ok = ZSTD_isError(left) == 0;
    const bool more = !in.empty() || (step == Step::go_on ? to.pos == to.size : left != 0);
    return {to.pos, more, ok};
  }

 private:
  ZSTD_CCtx* context_;
};

}  // namespace

// In front of every block that is handed out.
struct alignas(std::max_align_t) BlockCache::Block {
  size_t bytes;
};

BlockCache::~BlockCache() {
  for (Block* block : kept_) std::free(block);
}

void* BlockCache::take(size_t bytes) {
  const auto fits = [bytes](const Block* block) { return block->bytes >= bytes && block->bytes / 2 <= bytes; };
  const auto found = std::find_if(kept_.rbegin(), kept_.rend(), fits);
  if (found != kept_.rend()) {
    Block* block = *found;
    kept_bytes_ -= block->bytes;
    *found = kept_.back();
    kept_.pop_back();
    return block + 1;
  }
  void* memory = std::malloc(sizeof(Block) + bytes);
  return memory == nullptr ? nullptr : new (memory) Block{bytes} + 1;
}

void BlockCache::give_back(void* memory) {
  constexpr size_t kWorthKeeping = 1024;
  if (memory == nullptr) return;
  Block* block = static_cast<Block*>(memory) - 1;
  if (block->bytes < kWorthKeeping || kept_bytes_ + block->bytes > kMaxKept) return std::free(block);
  kept_bytes_ += block->bytes;
  kept_.push_back(block);
}

std::unique_ptr<Encoder> make_encoder(Coding coding, int level, BlockCache& blocks) {
  switch (coding) {
    case Coding::gzip: return std::make_unique<GzipEncoder>(level);
    case Coding::br: return std::make_unique<BrotliEncoder>(level, blocks);
    case Coding::zstd: break;
  }
  return std::make_unique<ZstdEncoder>(level);
}

std::unique_ptr<Encoder> EncoderPool::take(Coding coding) {
  if (lent_ >= max_lent_) return nullptr;
  const auto index = static_cast<size_t>(coding);
  auto& idle = idle_[index];
  std::unique_ptr<Encoder> encoder;
  if (idle.empty()) {
    encoder = make_encoder(coding, levels_[index], blocks_);
  } else {
    encoder = std::move(idle.back());
    idle.pop_back();
  }
  if (!encoder->begin()) return nullptr;
  ++lent_;
  return encoder;
}

void EncoderPool::give_back(Coding coding, std::unique_ptr<Encoder> encoder) {
  --lent_;
  auto& idle = idle_[static_cast<size_t>(coding)];
  if (idle.size() < kMaxIdle) idle.push_back(std::move(encoder));
}

}  // namespace sluice::compress
