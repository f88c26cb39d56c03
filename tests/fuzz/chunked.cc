// The chunked decoder. The first byte says where the rest is cut in two; that, byte by byte and all at once
// must give the same payload, trailers, end and verdict.
#include <algorithm>
#include <string>

#include "check.h"
#include "http/chunked.h"
#include "http/parser.h"

using namespace sluice;

namespace {

struct Outcome {
  bool refused = false;
  bool done = false;
  size_t consumed = 0;
  std::string payload;
  std::string trailers;

  bool operator==(const Outcome&) const = default;
};

class Feed {
 public:
  void take(std::string_view piece) {
    const std::string own(piece);  // memory of its own: a byte too many is noticed
    std::string_view rest = own;
    while (!rest.empty() && !outcome_.done && !outcome_.refused) {
      const auto step = decoder_.next(rest);
      if (!step) {
        outcome_ = {.refused = true};
        return;
      }
      FUZZ_CHECK(step->consumed > 0 && step->consumed <= rest.size() && step->data.size() <= step->consumed);
      outcome_.consumed += step->consumed;
      outcome_.payload += step->data;
      outcome_.done = step->done;
      rest.remove_prefix(step->consumed);
    }
  }
  Outcome end() {
    if (outcome_.done) outcome_.trailers = decoder_.trailers();
    FUZZ_CHECK(outcome_.trailers.size() <= http::ChunkedDecoder::kMaxTrailerBytes);
    return outcome_;
  }
  [[nodiscard]] const http::ChunkedDecoder& decoder() const { return decoder_; }

 private:
  http::ChunkedDecoder decoder_;
  Outcome outcome_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = std::min<size_t>(data[0], bytes.size());
  Feed whole;
  whole.take(bytes);
  Feed halves;
  halves.take(bytes.substr(0, cut));
  halves.take(bytes.substr(cut));
  Feed single;
  for (size_t i = 0; i < bytes.size(); ++i) single.take(bytes.substr(i, 1));
  const Outcome outcome = whole.end();
  FUZZ_CHECK(halves.end() == outcome);
  FUZZ_CHECK(single.end() == outcome);
  if (outcome.trailers.empty()) return 0;

  http::HeaderField fields[http::ChunkedDecoder::kMaxTrailerFields];
  const auto trailers = http::parse_fields(outcome.trailers, fields);
  if (!trailers) return 0;
  FUZZ_CHECK(trailers->size() == whole.decoder().trailer_fields());
  for (const http::HeaderField& field : *trailers) FUZZ_CHECK(http::is_field_value(field.value));
  return 0;
}
