#include "cli/admin_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/format.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "cli/configuration.h"
#include "control/diff.h"

namespace sluice::cli {

namespace {

constexpr timeval kPatience{70, 0};  // longer than the gateway waits for a reload to end
constexpr size_t kMaxAnswerBytes = size_t{256} << 20;

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool receive_all(int fd, std::string& bytes) {
  char piece[16 * 1024];
  while (bytes.size() < kMaxAnswerBytes) {
    const ssize_t got = ::recv(fd, piece, sizeof(piece), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return true;
    bytes.append(piece, static_cast<size_t>(got));
  }
  errno = EMSGSIZE;
  return false;
}

// HTTP/1.0, so that the end of the connection is the end of the answer (RFC 9112 §6.3).
std::string request_text(const snapshot::AdminSpec& admin, std::string_view request_line) {
  std::string text = fmt::format("{} HTTP/1.0\r\nHost: localhost\r\nAccept: text/plain\r\n", request_line);
  if (!admin.token.empty()) text += fmt::format("Authorization: Bearer {}\r\n", admin.token);
  return text + "\r\n";
}

// The admin listener that --admin or the configuration names, which may have errors elsewhere.
snapshot::AdminSpec admin_of(const Options& options, const control::CompileResult& configuration) {
  snapshot::AdminSpec admin = configuration.admin;
  if (options.admin) admin.address = *options.admin;
  if (admin.address.family() == AF_UNSPEC) admin.address = *SocketAddress::parse("127.0.0.1:9901");
  return admin;
}

}  // namespace

std::optional<AdminAnswer> ask_admin(const snapshot::AdminSpec& admin, std::string_view request_line) {
  const std::string where = admin.address.to_string();
  const auto failed = [&](const char* what) {
    fmt::print(stderr, "sluice: {} the admin listener at {}: {}; does the gateway run there? (--admin ADDRESS)\n", what,
               where, std::strerror(errno));
    return std::nullopt;
  };
  const UniqueFd socket(::socket(admin.address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  if (::connect(socket.get(), admin.address.get(), admin.address.length()) != 0) return failed("cannot connect to");
  std::string answer;
  if (!send_all(socket.get(), request_text(admin, request_line))) return failed("cannot ask");
  if (!receive_all(socket.get(), answer)) return failed("no answer from");
  const size_t head_end = answer.find("\r\n\r\n");
  const auto status = answer.size() > 12 ? parse_u64(std::string_view(answer).substr(9, 3)) : std::nullopt;
  if (!answer.starts_with("HTTP/1.") || head_end == std::string::npos || !status) {
    fmt::print(stderr, "sluice: what answers at {} is not an admin listener\n", where);
    return std::nullopt;
  }
  return AdminAnswer{static_cast<int>(*status), answer.substr(head_end + 4)};
}

int reload(const Options& options) {
  const control::CompileResult configuration = control::compile_file(configuration_path(options));
  const auto answer = ask_admin(admin_of(options, configuration), "POST /reload");
  if (!answer) return kFailed;
  std::fwrite(answer->body.data(), 1, answer->body.size(), answer->status == 200 ? stdout : stderr);
  if (answer->status == 200) return kOk;
  return answer->status == 422 ? kConfigurationError : kFailed;
}

int diff(const Options& options) {
  const control::CompileResult configuration = control::compile_file(configuration_path(options));
  for (const control::Diagnostic& error : configuration.errors) print(error, control::Severity::error);
  if (configuration.snapshot == nullptr) return kConfigurationError;
  const auto running = ask_admin(admin_of(options, configuration), "GET /config");
  if (!running) return kFailed;
  if (running->status != 200) {
    fmt::print(stderr, "sluice: the gateway does not show its configuration:\n{}", running->body);
    return kFailed;
  }
  const std::vector<std::string> changes = control::diff(running->body, configuration.snapshot->redacted_yaml);
  for (const std::string& change : changes) fmt::print("{}\n", change);
  if (changes.empty()) fmt::print("nothing changes\n");
  return kOk;
}

}  // namespace sluice::cli
