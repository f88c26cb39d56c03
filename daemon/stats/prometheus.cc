#include "stats/prometheus.h"

#include "stats/number.h"

namespace sluice::stats {

namespace {

constexpr unsigned kLeastBoundBits = 5;  // 32 µs
constexpr unsigned kMostBoundBits = 27;  // 134 s

void append_escaped(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
}

// name="value",name="value": what stands between the braces.
std::string label_text(const FamilyRow& shape, std::span<const std::string_view> values) {
  std::string out;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    out += shape.labels[i];
    out += "=\"";
    append_escaped(out, values[i]);
    out += '"';
  }
  return out;
}

class Page {
 public:
  explicit Page(const Registry& registry) : registry_(registry) {}

  void add(Family family, std::span<const std::string_view> values, SeriesId id) {
    const FamilyRow& shape = row(family);
    if (shape.kind == Kind::histogram) {
      const HistogramSnapshot histogram = registry_.histogram(id);
      if (histogram.count() == 0) return;
      begin(family);
      return add_histogram(shape, label_text(shape, values), histogram);
    }
    const uint64_t value = registry_.value(id);
    if (value == 0 && shape.sparse()) return;
    begin(family);
    add_line(shape, "", label_text(shape, values), value);
  }
  std::string take() { return std::move(out_); }

 private:
  void begin(Family family) {
    if (family == current_) return;
    current_ = family;
    const FamilyRow& shape = row(family);
    out_.append("# HELP ").append(shape.name).append(" ").append(shape.help).append("\n# TYPE ");
    out_.append(shape.name).append(" ").append(name(shape.kind)).append("\n");
  }
  void add_line(const FamilyRow& shape, std::string_view suffix, std::string_view labels, uint64_t value) {
    begin_line(shape, suffix, labels);
    append_number(out_, shape, value);
    out_ += '\n';
  }
  void begin_line(const FamilyRow& shape, std::string_view suffix, std::string_view labels) {
    out_.append(shape.name).append(suffix);
    if (!labels.empty()) out_.append("{").append(labels).append("}");
    out_ += ' ';
  }
  void add_count(const FamilyRow& shape, std::string_view suffix, std::string_view labels, uint64_t count) {
    begin_line(shape, suffix, labels);
    out_.append(std::to_string(count)).append("\n");
  }

  // `le` means "at most"; ours counts what is less. That is the same, for a time of n µs is one that was cut
  // off to n.
  void add_histogram(const FamilyRow& shape, const std::string& labels, const HistogramSnapshot& histogram) {
    const std::string before_bound = labels + (labels.empty() ? "le=\"" : ",le=\"");
    uint64_t below = 0;
    uint32_t bucket = 0;
    for (unsigned bits = kLeastBoundBits; bits <= kMostBoundBits; ++bits) {
      const uint64_t bound = uint64_t{1} << bits;
      for (; bucket < Buckets::index(bound); ++bucket) below += histogram.buckets[bucket];
      std::string with_bound = before_bound;
      append_number(with_bound, shape, bound);
      add_count(shape, "_bucket", with_bound + '"', below);
    }
    const uint64_t count = histogram.count();
    add_count(shape, "_bucket", before_bound + "+Inf\"", count);
    add_line(shape, "_sum", labels, histogram.sum);
    add_count(shape, "_count", labels, count);
  }

  const Registry& registry_;
  Family current_ = Family::kCount;
  std::string out_;
};

}  // namespace

std::string prometheus_text(const Registry& registry) {
  Page page(registry);
  registry.for_each(
      [&](Family family, std::span<const std::string_view> values, SeriesId id) { page.add(family, values, id); });
  return page.take();
}

}  // namespace sluice::stats
