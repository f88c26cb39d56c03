// The answers that the gateway makes itself: errors, fixed responses, redirects, files.

#include <algorithm>

#include "http/parser.h"
#include "proxy/engine.h"
#include "proxy/grpc.h"
#include "proxy/problem.h"
#include "proxy/static_file.h"

namespace sluice::proxy {

using http::BodyFraming;
using http::HeadWriter;

namespace {
constexpr uint64_t kDrainBytes = 64 * 1024;
constexpr size_t kSmallLines = 512;
constexpr http::MethodSet kAnyMethod =
    http::kAllMethods & ~(http::method_bit(http::Method::CONNECT) | http::method_bit(http::Method::TRACE));

HeadWriter lines(Arena& arena, size_t bytes = kSmallLines) { return HeadWriter({arena.allocate(bytes), bytes}); }

void write_allow(HeadWriter& out, http::MethodSet methods) {
  out.text("Allow: ");
  bool first = true;
  for (unsigned i = 0; i < static_cast<unsigned>(http::Method::unknown); ++i) {
    const auto method = static_cast<http::Method>(i);
    if ((methods & http::method_bit(method)) == 0) continue;
    if (!std::exchange(first, false)) out.text(", ");
    out.text(http::name(method));
  }
  out.text("\r\n");
}

// What of the path names the file: the rest that the pattern's last parameter took, or all of it.
std::string_view path_below_root(const Request& request) {
  const std::string_view pattern = request.route->match.path;
  const bool ends_with_rest = pattern.size() > 4 && pattern.substr(pattern.size() - 4) == "...}";
  return ends_with_rest ? request.match.captures[request.match.capture_count - 1] : request.path;
}
}  // namespace

// An answer before the request's end leaves the rest to be read and dropped; that pays only for a short rest.
bool Exchange::may_keep_alive() const {
  if (client_->last_request()) return false;
  if (request_complete_) return true;
  const BodyFraming& body = request_.framing.body;
  return body.kind == BodyFraming::Kind::length && body.length - body_received_ <= kDrainBytes &&
         !request_.framing.expects_continue;
}

void Exchange::answer_error(Error error) {
  HeadWriter fields = lines(arena_);
  const uint16_t status = row(error.reason).status != 0 ? row(error.reason).status : 502;
  if (status == 405) write_allow(fields, request_.match.allowed);
  if (status == 503) fields.field("Retry-After", 1);
  reason_ = error.reason;
  keep_detail(error);
  answer_problem({status, name(error.reason), row(error.reason).text, request_.id}, fields);
}

// Errors of sockets and of TLS tell of our network and of our endpoints, so the log has them, and clients the reason's sentence. The
// text may belong to a connection that is about to end.
void Exchange::keep_detail(Error error) { detail_ = arena_.copy(error.detail); }

// `fields` are those that the status asks for. The answer is in the words that the client understands.
void Exchange::answer_problem(const Problem& problem, const HeadWriter& fields) {
  const size_t bytes = fields.view().size() + kMaxProblemBytes;
  HeadWriter all = lines(arena_, bytes);
  all.text(fields.view());
  if (request_.is_grpc) {
    write_grpc_problem(all, problem);
    return answer(200, all.view(), {});
  }
  char* memory = arena_.allocate(kMaxProblemBytes);
  const size_t length = write_problem(problem, {memory, kMaxProblemBytes});
  all.field("Content-Type", kProblemType);
  answer(problem.status, all.view(), {memory, length});
}

void Exchange::answer_options() {
  HeadWriter fields = lines(arena_);
  write_allow(fields, kAnyMethod);
  answer(204, fields.view(), {});
}

void Exchange::answer_respond() {
  const snapshot::RespondSpec& respond = *request_.route->respond;
  HeadWriter fields = lines(arena_, respond.content_type.size() + kSmallLines);
  if (!respond.body.empty()) fields.field("Content-Type", respond.content_type);
  answer(respond.status, fields.view(), respond.body);
}

void Exchange::answer_redirect() {
  constexpr size_t kMaxLocation = 16 * 1024;
  char* memory = arena_.allocate(kMaxLocation);
  const auto length = request_.route->redirect->to.expand(request_.values(), {memory, kMaxLocation});
  if (!length || !http::is_field_value({memory, *length})) return answer_error({Reason::bad_template, ""});
  HeadWriter fields = lines(arena_, *length + kSmallLines);
  fields.field("Location", std::string_view(memory, *length));
  answer(request_.route->redirect->status, fields.view(), {});
}

void Exchange::answer_file() {
  StaticAnswer file =
      open_static(*request_.route->files, path_below_root(request_), request_.head.method, request_.head.headers);
  HeadWriter fields = lines(arena_, request_.head.target.size() + 2 * kSmallLines);
  file.write_fields(fields, request_.target.query);
  if (file.reason != Reason::none) {
    reason_ = file.reason;
    return answer_problem({file.status, name(file.reason), row(file.reason).text, request_.id}, fields);
  }
  if (!file.head_only && file.file) {
    file_offset_ = file.offset;
    file_left_ = file.length;
    file_ = std::move(file.file);
  }
  const BodyFraming body{BodyFraming::Kind::length, file.length};
  if (filtering_ != nullptr) return filter_answer(file.status, fields.view(), body, {});
  if (begin_answer(file.status, fields.view(), body)) flush_client();
}

void Exchange::answer(uint16_t status, std::string_view field_lines, std::string_view body) {
  drop_upstream(reason_);
  if (filtering_ != nullptr && !filtering_->passed_by) {
    return filter_answer(status, field_lines, {BodyFraming::Kind::length, body.size()}, body);
  }
  if (!begin_answer(status, field_lines, {BodyFraming::Kind::length, body.size()})) return;
  if (request_.head.method != http::Method::HEAD && client_framing_.body.kind == BodyFraming::Kind::length) {
    to_client_.add(body);
  }
  flush_client();
}

// Queues the head of a local answer; false if that failed and another answer was made instead.
bool Exchange::begin_answer(uint16_t status, std::string_view field_lines, BodyFraming body) {
  if (status == 204 || status == 304) body = {};
  keep_alive_ = keep_alive_ && may_keep_alive();
  client_framing_ = {body, keep_alive_};
  const Result<std::string_view> head =
      compose_local_head(request_, status, field_lines, client_framing_, engine_.date(), arena_);
  if (!head) {
    request_.route = nullptr;  // its response edits are what failed
    file_left_ = 0;
    answer_error(head.error());
    return false;
  }
  status_ = status;
  phase_ = Phase::finishing;
  response_begun_ = true;
  response_complete_ = true;
  client_->send_head(*head, to_client_);
  return true;
}

void Exchange::drop_upstream(Reason reason) {
  if (endpoint_) endpoint_->pool().cancel(*this);
  if (lease_) lease_->spoil();
  lease_.give_back(reason);
  upstream_reached_ = upstream_reached_ || sent_some_;
  to_upstream_.clear();
}

}  // namespace sluice::proxy
