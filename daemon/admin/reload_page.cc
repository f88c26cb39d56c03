// How a reload went, for people (text) and for programs (JSON).

#include "admin/endpoints.h"
#include "base/strings.h"

namespace sluice::admin {

namespace {

std::string as_text(const ReloadReport& report) {
  std::string text;
  for (const control::Diagnostic& error : report.errors) text += to_text(error, control::Severity::error, false);
  if (!report.failure.empty()) text += report.failure + "\n";
  for (const std::string& change : report.changes) text += change + "\n";
  if (report.changes_left_out > 0) text += "and " + std::to_string(report.changes_left_out) + " more changes\n";
  const std::string generation = std::to_string(report.generation);
  return text + (report.accepted ? "configuration " + generation + " runs\n"
                                 : "refused: configuration " + generation + " goes on\n");
}

template <typename List, typename Text>
std::string json_list(const List& list, Text text) {
  std::string json = "[";
  for (const auto& each : list) json += (json.size() > 1 ? "," : "") + text(each);
  return json + "]";
}

std::string error_json(const control::Diagnostic& error) {
  return "{\"file\":" + json_quoted(error.file) + ",\"line\":" + std::to_string(error.line) +
         ",\"column\":" + std::to_string(error.column) + ",\"message\":" + json_quoted(error.message) + "}";
}

std::string as_json(const ReloadReport& report) {
  return "{\"accepted\":" + std::string(report.accepted ? "true" : "false") +
         ",\"generation\":" + std::to_string(report.generation) +
         ",\"took_us\":" + std::to_string(report.took.count()) + ",\"failure\":" + json_quoted(report.failure) +
         ",\"errors\":" + json_list(report.errors, error_json) +
         ",\"changes\":" + json_list(report.changes, [](const std::string& text) { return json_quoted(text); }) +
         ",\"changes_left_out\":" + std::to_string(report.changes_left_out) + "}\n";
}

}  // namespace

Response reload_response(const ReloadReport& report, bool text) {
  Response response;
  response.status = report.accepted ? 200 : 422;
  response.content_type = text ? "text/plain; charset=utf-8" : "application/json";
  response.body = text ? as_text(report) : as_json(report);
  return response;
}

}  // namespace sluice::admin
