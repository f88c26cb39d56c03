// What all HTML pages of the admin listener share, and the index.
#include "admin/pages.h"

namespace sluice::admin {

namespace {
constexpr std::string_view kStyle =
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:3rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem;font-weight:600;margin:0 0 1.5rem}h1 "
    "small{font-size:.9rem;font-weight:400;opacity:.6}"
    "table{border-collapse:collapse;width:100%}"
    "th{text-align:left;font-size:.8rem;font-weight:600;opacity:.6}"
    "td,th{padding:.45rem 1rem .45rem 0;border-bottom:1px solid #8884;vertical-align:top}"
    "td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}"
    "a,code{font-family:ui-monospace,monospace;font-size:.9em}a{text-decoration:none;font-weight:600}";
}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string html_page(std::string_view title, std::string_view body) {
  std::string page = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n<title>";
  page += html_escaped(title);
  page.append("</title>\n<style>").append(kStyle).append("</style>\n");
  page.append(body).append("</html>\n");
  return page;
}

Response html_response(std::string page) {
  return {200,
          kHtml,
          std::move(page),
          {{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}}};
}

std::string index_html(std::span<const Endpoint> endpoints, std::string_view version) {
  std::string body = "<h1>Sluice <small>" + html_escaped(version) + "</small></h1>\n<table>\n";
  for (const Endpoint& endpoint : endpoints) {
    const std::string path = html_escaped(endpoint.path);
    const bool can_follow = (endpoint.methods & http::method_bit(http::Method::GET)) != 0;
    body += "<tr><td>";
    body += can_follow ? "<a href=\"" + path + "\">" + path + "</a>" : "<code>" + path + "</code>";
    body += "<td><code>" + method_list(endpoint.methods) + "</code><td>" + html_escaped(endpoint.help) + "\n";
  }
  return html_page("Sluice", body + "</table>\n");
}

}  // namespace sluice::admin
