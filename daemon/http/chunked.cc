#include "http/chunked.h"

#include <algorithm>
#include <bit>

#include "http/bytes.h"

namespace sluice::http {

namespace {
constexpr uint8_t kMaxDigits = 16;
constexpr HeadLimits kTrailerLimits = {
    .first_line_bytes = 0, .head_bytes = ChunkedDecoder::kMaxTrailerBytes, .fields = ChunkedDecoder::kMaxTrailerFields};
}  // namespace

Result<ChunkedDecoder::Step> ChunkedDecoder::next(std::string_view input) {
  Step step;
  while (step.consumed < input.size() && state_ != State::done) {
    const std::string_view rest = input.substr(step.consumed);
    if (state_ == State::data) {
      step.data = rest.substr(0, left_);
      step.consumed += step.data.size();
      left_ -= step.data.size();
      if (left_ == 0) state_ = State::data_cr;
      return step;
    }
    if (state_ == State::trailers) {
      const Result<size_t> taken = read_trailers(rest);
      if (!taken) return taken.error();
      step.consumed += *taken;
      continue;
    }
    if (const char* wrong = read_framing(rest.front()); wrong != nullptr) return Error{Reason::bad_chunk, wrong};
    ++step.consumed;
  }
  step.done = state_ == State::done;
  return step;
}

// One byte of the framing around a chunk. Null, or what is wrong with it.
const char* ChunkedDecoder::read_framing(char c) {
  switch (state_) {
    case State::size: return read_size(c);
    case State::extension: return read_extension(c);
    case State::size_lf:
      if (c != '\n') return "CR without LF behind a chunk size";
      state_ = left_ > 0 ? State::data : State::trailers;
      digits_ = 0;
      line_bytes_ = 0;
      return nullptr;
    case State::data_cr:
      if (c != '\r') return "chunk longer than its size";
      state_ = State::data_lf;
      return nullptr;
    case State::data_lf:
      if (c != '\n') return "CR without LF behind a chunk";
      state_ = State::size;
      return nullptr;
    case State::data:
    case State::trailers:
    case State::done: break;
  }
  return "not in the framing";
}

const char* ChunkedDecoder::read_size(char c) {
  if (const int digit = hex_value(c); digit >= 0) {
    if (++digits_ > kMaxDigits) return "chunk size of more than 16 digits";
    ++line_bytes_;
    left_ = left_ << 4 | static_cast<unsigned>(digit);
    return nullptr;
  }
  if (digits_ == 0 || (c != '\r' && c != ';')) return "chunk size is no hexadecimal number";
  if (c == '\r') {
    state_ = State::size_lf;
    return nullptr;
  }
  state_ = State::extension;
  return read_extension(c);
}

// Nothing that we forward carries extensions, so their inner grammar does not matter (RFC 9112 §7.1.1: ignore
// what is unknown); that no control character ends a line for someone else does.
const char* ChunkedDecoder::read_extension(char c) {
  if (c == '\r') {
    state_ = State::size_lf;
    return nullptr;
  }
  if (!is_byte(c, byte_class::kField)) return "control character in a chunk extension";
  if (++line_bytes_ > kMaxSizeLineBytes) return "chunk size line too long";
  if (++extension_bytes_ > kMaxExtensionBytes) return "too many bytes of chunk extensions";
  return nullptr;
}

// Takes one line at most; how many bytes. The usual empty section is not stored.
Result<size_t> ChunkedDecoder::read_trailers(std::string_view input) {
  if (trailers_.empty() && input.starts_with("\r\n")) {
    state_ = State::done;
    return size_t{2};
  }
  const size_t line = std::min(input.find('\n'), input.size() - 1) + 1;
  const size_t room = kMaxTrailerBytes - trailers_.size();
  SL_ASSERT(room > 0);  // the scanner refuses a section that fills it without an end
  const size_t taken = std::min(line, room);
  trailers_.append(input, 0, taken);
  const Result<size_t> end = trailer_scanner_.scan(trailers_, kTrailerLimits);
  if (!end) return Error{Reason::bad_chunk, end.error().detail};
  if (*end > 0) {
    state_ = State::done;
    if (trailer_scanner_.fields() == 0) trailers_.clear();
  }
  return taken;
}

size_t write_chunk_head(uint64_t bytes, char* out) {
  constexpr char kDigits[] = "0123456789abcdef";
  const int digits = bytes == 0 ? 1 : (std::bit_width(bytes) + 3) / 4;
  for (int i = digits - 1; i >= 0; --i, bytes >>= 4) out[i] = kDigits[bytes & 15];
  out[digits] = '\r';
  out[digits + 1] = '\n';
  return static_cast<size_t>(digits) + 2;
}

}  // namespace sluice::http
