#include "stats/json.h"

#include "base/strings.h"
#include "stats/number.h"

namespace sluice::stats {

namespace {

void append_labels(std::string& out, const FamilyRow& shape, std::span<const std::string_view> values) {
  out += "\"labels\":{";
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    out += json_quoted(shape.labels[i]);
    out += ':';
    out += json_quoted(values[i]);
  }
  out += '}';
}

void append_family_head(std::string& out, const FamilyRow& shape) {
  out += json_quoted(shape.name);
  out.append(":{\"kind\":\"").append(name(shape.kind)).append("\",\"help\":");
  out += json_quoted(shape.help);
  out += ",\"series\":[\n";
}

}  // namespace

void append_histogram_json(std::string& out, const FamilyRow& row, const HistogramSnapshot& histogram) {
  constexpr std::pair<std::string_view, double> kQuantiles[] = {
      {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
  out += "\"count\":";
  out += std::to_string(histogram.count());
  out += ",\"sum\":";
  append_number(out, row, histogram.sum);
  for (const auto& [name, q] : kQuantiles) {
    out.append(",\"").append(name).append("\":");
    append_number(out, row, static_cast<uint64_t>(histogram.quantile(q)));
  }
  out += ",\"max\":";
  append_number(out, row, histogram.max());
}

std::string json_text(const Registry& registry) {
  std::string out = "{\n";
  Family current = Family::kCount;
  registry.for_each([&](Family family, std::span<const std::string_view> values, SeriesId id) {
    const FamilyRow& shape = row(family);
    const bool is_histogram = shape.kind == Kind::histogram;
    const uint64_t value = registry.value(id);
    const HistogramSnapshot histogram = is_histogram ? registry.histogram(id) : HistogramSnapshot();
    if (is_histogram ? histogram.count() == 0 : value == 0 && shape.sparse()) return;
    if (family != current) {
      if (current != Family::kCount) out += "\n]},\n";
      append_family_head(out, shape);
    } else {
      out += ",\n";
    }
    current = family;
    out += '{';
    append_labels(out, shape, values);
    out += ',';
    if (is_histogram) {
      append_histogram_json(out, shape, histogram);
    } else {
      out += "\"value\":";
      append_number(out, shape, value);
    }
    out += '}';
  });
  out += current == Family::kCount ? "}\n" : "\n]}\n}\n";
  return out;
}

}  // namespace sluice::stats
