// What a Redis server says: the reader of replies, what a reply means for each operation, redirections, the map of
// slots. The first byte says where the rest is cut in two; that, byte by byte and all at once must give the same
// replies. A byte that is no RESP2 must break the reader, never the process.
#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "store/redis_operations.h"
#include "store/redis_protocol.h"

using namespace sluice;
using namespace sluice::store;

namespace {

void check_meaning(const Reply& reply) {
  for (int i = 0; i <= static_cast<int>(Operation::add); ++i) {
    const auto operation = static_cast<Operation>(i);
    const std::optional<Outcome> outcome = outcome_of(operation, reply);
    FUZZ_CHECK(!reply.is_error() || (outcome && outcome->kind == Outcome::Kind::failed));
    if (!outcome) continue;
    FUZZ_CHECK((outcome->kind == Outcome::Kind::failed) == (outcome->reason != Reason::none));
    FUZZ_CHECK(outcome->value.empty() || outcome->kind == Outcome::Kind::found);
    FUZZ_CHECK(outcome->retry_after.count() >= 0 && outcome->reset_after.count() >= 0);
  }
  if (const auto ranges = parse_slots(reply, *SocketAddress::parse("127.0.0.1:6379"))) {
    for (const SlotRange& range : *ranges)
      FUZZ_CHECK(range.first <= range.last && range.last < kSlots && range.master.port() != 0);
  }
  if (const auto redirection = parse_redirection(reply.text(), *SocketAddress::parse("127.0.0.1:6379"))) {
    FUZZ_CHECK(redirection->slot < kSlots && redirection->address.port() != 0);
  }
}

class Feed {
 public:
  void take(std::string_view piece) {
    const std::string own(piece);  // memory of its own: a byte too many is noticed
    reader_.feed(own);
    while (const Reply* reply = reader_.next()) {
      FUZZ_CHECK(!reply->values().empty() && reply->after(0) == reply->values().size());
      check_meaning(*reply);
      for (const Reply::Value& value : reply->values()) {
        replies_ += std::to_string(static_cast<int>(value.type)) + ':' + std::to_string(value.integer) + ':';
        replies_ += reply->text_of(value);
        replies_ += '\n';
      }
    }
  }
  [[nodiscard]] std::string end() const { return replies_ + (reader_.broken() ? "broken" : ""); }

 private:
  ReplyReader reader_;
  std::string replies_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  FUZZ_CHECK(slot_of(bytes) < kSlots);
  const size_t cut = std::min<size_t>(data[0], bytes.size());
  Feed whole;
  whole.take(bytes);
  Feed halves;
  halves.take(bytes.substr(0, cut));
  halves.take(bytes.substr(cut));
  FUZZ_CHECK(halves.end() == whole.end());
  if (bytes.size() > 4096) return 0;
  Feed single;
  for (size_t i = 0; i < bytes.size(); ++i) single.take(bytes.substr(i, 1));
  FUZZ_CHECK(single.end() == whole.end());
  return 0;
}
