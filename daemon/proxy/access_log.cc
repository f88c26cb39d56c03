#include "proxy/access_log.h"

namespace sluice::proxy {

namespace {

constexpr size_t kTexts = 13;

// Calls `visit` with each text of a record, const or not.
template <typename Record, typename Visit>
[[gnu::always_inline]] inline void for_each_text(Record& record, Visit visit) {
  visit(record.request_id);
  visit(record.client);
  visit(record.method);
  visit(record.host);
  visit(record.target);
  visit(record.detail);
  visit(record.route);
  visit(record.endpoint);
  visit(record.user_agent);
  visit(record.referer);
  visit(record.protocol);
  visit(record.tls);
  visit(record.plugins);
  visit(record.plugin_phases);
}

size_t text_bytes_of(const AccessRecord& record) {
  size_t sum = 0;
  for_each_text(record, [&sum](std::string_view text) { sum += text.size(); });
  return sum;
}

[[gnu::cold, gnu::noinline]] AccessRecord with_cut_texts(const AccessRecord& record) {
  AccessRecord cut = record;
  for_each_text(cut, [](std::string_view& text) { text = text.substr(0, AccessLog::kMaxTextBytes / kTexts); });
  return cut;
}

}  // namespace

bool AccessLog::write(const AccessRecord& record) {
  if (!enabled()) return false;
  if (record.status < 500 && !sampled()) return false;
  const size_t text_bytes = text_bytes_of(record);
  if (text_bytes <= kMaxTextBytes) [[likely]]
    return write_line(record, text_bytes);
  const AccessRecord cut = with_cut_texts(record);
  return write_line(cut, text_bytes_of(cut));
}

bool AccessLog::write_line(const AccessRecord& record, size_t text_bytes) {
  char* const begin = ring_->reserve(format_.line_bound(text_bytes));
  if (begin == nullptr) return false;
  const char* const end = line_.write(begin, format_, record);
  ring_->commit(static_cast<size_t>(end - begin));
  return true;
}

bool AccessLog::sampled() {
  constexpr uint64_t kAll = uint64_t{1} << 32;
  if (format_.sample() >= kAll) return true;
  // Knuth's 64-bit linear congruence; its upper half is good enough to pick lines.
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  return (random_ >> 32) < format_.sample();
}

}  // namespace sluice::proxy
