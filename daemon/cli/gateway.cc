#include "cli/gateway.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "base/format.h"
#include "base/log.h"
#include "cli/privileges.h"
#include "control/diff.h"
#include "control/service.h"

namespace sluice::cli {

namespace {

constexpr size_t kChangesLogged = 20;
constexpr size_t kChangesKept = 1000;  // for who asks how the last reload went
constexpr int kCompilerNice = 10;
constexpr const char* kAdminSocket = "sluice-admin";  // as FileDescriptorName= and in LISTEN_FDNAMES
constexpr unsigned kBeatsPerStatus = 10;
constexpr Millis kSweepPeriod{1000};
constexpr size_t kChunksPerSweep = 8;
constexpr Millis kForgetPeriod{10'000};
constexpr size_t kSeriesToTrimAfter = 1000;
constexpr Millis kTrimAfter{5000};  // reloads in a row are tidied up after once
// By itself malloc raises what it keeps at the end of each heap to twice the largest piece that was ever freed: after the
// text of a large configuration, tens of MiB.
constexpr int kMallocKeeps = 256 * 1024;
constexpr size_t kMallocLooks = 100 * 1024;  // freeing as much makes it look; and no mapping of its own (128 KiB)

// Each proxied connection is two descriptors; the soft limit of most systems (1024) is far too low for a gateway.
void raise_descriptor_limit(uint32_t max_connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  const uint64_t wanted = uint64_t{max_connections} * 2;
  if (limit.rlim_cur < wanted) {
    log::warn("process.max_connections is {}, which may need {} file descriptors; the limit is {} (LimitNOFILE)",
              max_connections, wanted, limit.rlim_cur);
  }
}

std::string listed(const std::vector<SocketAddress>& addresses) {
  std::string text;
  for (const SocketAddress& address : addresses) {
    if (!text.empty()) text += ", ";
    text += address.to_string();
  }
  return text;
}

const char* name_of(int signal) {
  switch (signal) {
    case SIGTERM: return "SIGTERM";
    case SIGINT: return "SIGINT";
    case SIGQUIT: return "SIGQUIT";
    default: return "a signal";
  }
}

event::Resolver::Options options_of(const snapshot::DnsSpec& dns) {
  event::Resolver::Options options;
  options.servers = dns.servers;
  options.timeout = dns.timeout;
  return options;
}

void log_changes(const std::vector<std::string>& changes) {
  for (size_t i = 0; i < std::min(changes.size(), kChangesLogged); ++i) log::info("reload: {}", changes[i]);
  if (changes.size() > kChangesLogged) log::info("reload: and {} more changes", changes.size() - kChangesLogged);
}

// What can be changed by a new process only.
void warn_of_fixed(const snapshot::ProcessSpec& running, const snapshot::ProcessSpec& next) {
  if (running.workers != next.workers) log::warn("process.workers takes effect with the next start");
  if (running.pin_cpus != next.pin_cpus) log::warn("process.pin_cpus takes effect with the next start");
  if (running.user != next.user || running.group != next.group) {
    log::warn("process.user and process.group take effect with the next start");
  }
  if (running.pid_file != next.pid_file) log::warn("process.pid_file takes effect with the next start");
}

// What is left to do once the listeners are open. Returns what is wrong, or an empty text.
std::string become_daemon(const snapshot::Snapshot& snapshot, PidFile& pid_file) {
  const snapshot::ProcessSpec& process = snapshot.process;
  if (!process.pid_file.empty()) {
    if (std::string wrong = pid_file.write(process.pid_file); !wrong.empty()) return wrong;
  }
  if (process.user.empty()) return {};
  const snapshot::AccessLogSpec& access_log = snapshot.access_log;
  const bool to_file = access_log.format != snapshot::AccessLogSpec::Format::off && access_log.path != "stdout";
  return drop_privileges(process.user, process.group, to_file ? access_log.path : "");
}

struct PassedSockets {
  std::vector<worker::NamedSocket> listeners;
  std::shared_ptr<event::ListenSocket> admin;
};

// From the service manager's socket unit, or from the process that we succeed.
PassedSockets take_passed_sockets() {
  PassedSockets passed;
  for (control::service::PassedSocket& each : control::service::passed_sockets()) {
    auto socket = event::ListenSocket::inherit(std::move(each.fd));
    if (!socket) {
      log::warn("the descriptor \"{}\" that was passed on is no listening socket: closed", each.name);
    } else if (each.name == kAdminSocket) {
      passed.admin = std::move(*socket);
    } else {
      passed.listeners.push_back({each.name, std::move(*socket)});
    }
  }
  return passed;
}

// systemd's watchdog wants to hear from us twice in its interval.
worker::Watchdog::Options watchdog_options() {
  worker::Watchdog::Options options;
  if (const auto interval = control::service::watchdog_interval()) {
    options.period = std::clamp(std::chrono::floor<Millis>(*interval / 2), Millis(10), options.period);
  }
  return options;
}

}  // namespace

Gateway::Gateway(control::CompileResult first, RunOptions options)
    : options_(std::move(options)),
      program_(Program::own()),
      registry_(first.snapshot->process.workers),
      figures_(registry_, options_.version),
      first_(std::move(first.snapshot)),
      discovery_(
          {.timers = loop_.timers(),
           .now = [this] { return loop_.now(); },
           .resolve = [this](const std::string& host, auto callback) { resolver_.resolve(host, std::move(callback)); },
           .registry = registry_,
           .on_change = [this](const std::string& host) { supervisor_.on_resolved(host); }}),
      resolver_(loop_, options_of(first_->process.dns)),
      supervisor_(loop_, registry_, [this](const std::string& host) { return discovery_.addresses_of(host); }),
      sources_(std::move(first.sources)),
      certificates_(std::move(first.certificates)),
      signals_(loop_, {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}, [this](int number) { on_signal(number); }),
      grace_(
          loop_.timers(), [](void* self) { static_cast<Gateway*>(self)->on_grace_over(); }, this),
      sweep_timer_(
          loop_.timers(), [](void* self) { static_cast<Gateway*>(self)->sweep(); }, this),
      forget_timer_(
          loop_.timers(), [](void* self) { static_cast<Gateway*>(self)->forget_series(); }, this),
      trim_timer_(
          loop_.timers(), [](void* self) { static_cast<Gateway*>(self)->trim(); }, this) {
  supervisor_.on_freed([this] {
    if (!trim_timer_.is_set()) trim_timer_.set(loop_.now() + kTrimAfter);
  });
}

Gateway::~Gateway() {
  if (background_.joinable()) background_.join();
}

int Gateway::run() {
  mallopt(M_TRIM_THRESHOLD, kMallocKeeps);
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit(first_->process.max_connections);
  resolve_names(*first_, [this] { serve(); });
  loop_.run();
  watchdog_.reset();
  supervisor_.stop();
  log::info("ended");
  return exit_code_;
}

void Gateway::serve() {
  if (state_ != State::starting) return;
  std::string error;
  PassedSockets passed = take_passed_sockets();
  if (first_->admin.enabled) admin_ = open_admin(first_->admin, error, std::move(passed.admin));
  if (error.empty() && supervisor_.start(first_, std::move(passed.listeners), error)) {
    error = become_daemon(*first_, pid_file_);
  }
  if (!error.empty()) {
    log::error("{}", error);
    exit_code_ = 1;
    return loop_.stop();
  }
  state_ = State::serving;
  sweep();
  forget_series();
  figures_.refresh();
  log::info(
      "sluice {} listens on {}; admin on {}; {} workers, {} routes, {} upstreams; {} MiB of memory; {} descriptors",
      options_.version, listed(supervisor_.addresses()), admin_ ? admin_->address().to_string() : "nothing",
      first_->process.workers, first_->routes.size(), first_->clusters.size(),
      registry_.value(registry_.intern(stats::Family::process_resident)) >> 20,
      registry_.value(registry_.intern(stats::Family::process_max_fds)));
  first_.reset();
  control::service::ready(status_line());
  Successor::report_ready();
  start_watchdog();
  follow_files();
}

void Gateway::resolve_names(const snapshot::Snapshot& next, std::function<void()> then) {
  resolver_.configure(options_of(next.process.dns));
  // A letter: the last answer may be what settles it, and a resolver is not configured anew inside its callback.
  discovery_.watch(next.process.dns, next.clusters, next.stores, [this, then = std::move(then)] { loop_.post(then); });
}

// What `systemctl status` shows.
std::string Gateway::status_line() {
  constexpr auto kConnections = stats::Family::downstream_connections;
  const snapshot::Snapshot& current = *supervisor_.current();
  uint64_t connections = 0;
  for (const auto& listener : current.listeners) {
    const auto run = registry_.find(kConnections, {listener.name});
    for (size_t i = 0; run && i < stats::row(kConnections).last_values.size(); ++i) {
      connections += registry_.value(*run + static_cast<stats::SeriesId>(i));
    }
  }
  return fmt::format("{} {} connections, {} requests under way; {} routes, {} upstreams, configuration {}{}",
                     state_ == State::draining ? "ending:" : "serving", connections,
                     registry_.value(registry_.intern(stats::Family::requests_in_flight)), current.routes.size(),
                     current.clusters.size(), last_reload_.generation,
                     last_reload_.accepted ? "" : "; the last reload was refused, see the log");
}

void Gateway::start_watchdog() {
  watchdog_ = std::make_unique<worker::Watchdog>(
      loop_, supervisor_.watched(), registry_, watchdog_options(),
      [this, awaited = control::service::watchdog_interval().has_value(), beats = 0u]() mutable {
        if (awaited) control::service::alive();
        if (++beats % kBeatsPerStatus == 0) control::service::status(status_line());
      });
}

std::unique_ptr<admin::Server> Gateway::open_admin(const snapshot::AdminSpec& spec, std::string& error,
                                                   std::shared_ptr<event::ListenSocket> socket) {
  if (socket != nullptr && !(socket->address() == spec.address)) socket.reset();
  auto started = admin::Server::start(loop_, spec,
                                      {.registry = registry_,
                                       .current = [this] { return first_ ? first_ : supervisor_.current(); },
                                       .ready = [this] { return state_ == State::serving && !asked_to_drain_; },
                                       .store_available = [this](size_t i) { return supervisor_.is_available(i); },
                                       .refresh =
                                           [this] {
                                             figures_.refresh();
                                             state_figures();
                                           },
                                       .reload = [this] { return reload(); },
                                       .last_reload = [this]() -> const admin::ReloadReport& { return last_reload_; },
                                       .drain = [this](bool on) { drain(on); },
                                       .discovery = &discovery_,
                                       .dns_servers = [this] { return resolver_.servers(); },
                                       .version = options_.version},
                                      std::move(socket));
  if (started) return std::move(*started);
  error = fmt::format("the admin listener {} cannot be opened: {}", spec.address.to_string(), started.error().detail);
  return nullptr;
}

// Figures that are stated when somebody asks, rather than counted as they happen.
void Gateway::state_figures() {
  stats::Shard& shard = registry_.control();
  shard.set(registry_.intern(stats::Family::workers), supervisor_.workers().size());
  shard.set(registry_.intern(stats::Family::config_generation), last_reload_.generation);
  shard.set(registry_.intern(stats::Family::application_log_dropped), log::lost_lines());
  supervisor_.show_stores();
  if (const proxy::LogWriter* writer = supervisor_.log_writer()) {
    shard.set(registry_.intern(stats::Family::access_log_dropped), writer->dropped_lines() + writer->lost_lines());
  }
}

// What the admin server's answers took goes back to the system.
void Gateway::sweep() {
  size_t budget = kChunksPerSweep;
  loop_.blocks().sweep(loop_.now(), budget);
  supervisor_.sweep_stores();
  sweep_timer_.set(loop_.now() + kSweepPeriod);
}

// Those of names that went with a reload, or with a change of DNS.
void Gateway::forget_series() {
  const bool many = registry_.forget_unused(loop_.now()) >= kSeriesToTrimAfter;
  if (many && !trim_timer_.is_set()) trim_timer_.set(loop_.now() + kTrimAfter);
  forget_timer_.set(loop_.now() + kForgetPeriod);
}

// What a configuration has left between what stays. It takes milliseconds, so not on this thread.
void Gateway::trim() {
  if (reloading_) return trim_timer_.set(loop_.now() + kTrimAfter);
  if (background_.joinable()) background_.join();
  background_ = std::thread([] {
    malloc_trim(0);
    // That leaves the end of a thread's heap as it is; freeing a large piece does not. The heap is the compiler's: a new
    // thread gets that of the one which ended last.
    void* volatile large = std::malloc(kMallocLooks);
    std::free(large);
  });
}

void Gateway::on_signal(int number) {
  if (number == SIGHUP) {
    log::info("got SIGHUP: reloading {}", options_.config_path);
    reload();
    return;
  }
  if (number == SIGUSR1) {
    if (proxy::LogWriter* writer = supervisor_.log_writer()) writer->reopen();
    return;
  }
  if (number == SIGUSR2) return upgrade();
  if (state_ == State::draining) {
    log::info("got {} again: ending at once", name_of(number));
    return loop_.stop();
  }
  log::info("got {}: ending", name_of(number));
  if (state_ == State::starting) return loop_.stop();
  finish();
}

// --- reload ---

// False if the gateway ends.
bool Gateway::reload() {
  if (state_ != State::serving) return false;
  reload_again_ = reloading_;
  if (reloading_) return true;
  reloading_ = true;
  if (background_.joinable()) background_.join();
  reload_began_ = MonoClock::now();
  control::service::reloading();
  background_ = std::thread([this, path = options_.config_path, running = supervisor_.current()] {
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kCompilerNice);  // of this thread alone
    auto made = std::make_shared<Compiled>(Compiled{control::compile_file(path, running.get()), {}});
    if (const auto& next = made->result.snapshot) {
      made->changes = control::diff(running->redacted_yaml, next->redacted_yaml);
      for (std::string& change : control::changed_contents(*running, *next)) made->changes.push_back(std::move(change));
    }
    loop_.post([this, made] { on_compiled(std::move(*made)); });
  });
  return true;
}

void Gateway::on_compiled(Compiled compiled) {
  if (state_ != State::serving) return;
  control::CompileResult& result = compiled.result;
  sources_ = std::move(result.sources);
  if (result.snapshot == nullptr) {
    certificates_.add(result.certificates);  // those that run are followed on, whatever could not be read now
    for (const control::Diagnostic& error : result.errors) {
      log::error("{}", control::to_text(error, control::Severity::error, false));
    }
    return conclude({.accepted = false, .errors = std::move(result.errors)});
  }
  certificates_ = std::move(result.certificates);
  for (const control::Diagnostic& warning : result.warnings) {
    log::warn("{}", control::to_text(warning, control::Severity::warning, false));
  }
  resolve_names(*result.snapshot,
                [this, next = result.snapshot, changes = std::move(compiled.changes)] { publish(next, changes); });
}

void Gateway::publish(std::shared_ptr<const snapshot::Snapshot> next, std::vector<std::string> changes) {
  if (state_ != State::serving) return;
  const std::shared_ptr<const snapshot::Snapshot> running = supervisor_.current();
  log_changes(changes);
  const size_t count = changes.size();
  if (count > kChangesKept) changes.erase(changes.begin() + kChangesKept, changes.end());
  changes.shrink_to_fit();
  std::string error;
  std::shared_ptr<admin::Server> admin;
  const bool admin_moves = !admin_ || next->admin.address != admin_->spec().address;
  if (next->admin.enabled && admin_moves) admin = open_admin(next->admin, error);
  const auto on_adopted = [this, next, admin = std::move(admin), changes = std::move(changes), count] {
    if (admin_) admin_->change_token(next->admin.token);
    conclude({.accepted = true, .changes = changes, .changes_left_out = count - changes.size()});
    if (admin || !next->admin.enabled) admin_ = admin;  // who asked was answered by the old one
  };
  if (!error.empty() || !supervisor_.publish(next, on_adopted, error)) {
    resolve_names(*running, [] {});
    return conclude({.accepted = false, .failure = std::move(error)});
  }
  warn_of_fixed(running->process, next->process);
}

void Gateway::conclude(admin::ReloadReport report) {
  report.generation = last_reload_.generation + (report.accepted ? 1 : 0);
  report.took = std::chrono::duration_cast<Micros>(MonoClock::now() - reload_began_);
  registry_.control().add(registry_.intern(stats::Family::config_reloads, {report.accepted ? "accepted" : "refused"}));
  if (report.accepted) {
    log::info("reload: configuration {} runs, {} changes, {} ms", report.generation,
              report.changes.size() + report.changes_left_out, report.took / Millis(1));
  } else {
    if (!report.failure.empty()) log::error("reload: {}", report.failure);
    log::error("reload: {} was not accepted; configuration {} goes on", options_.config_path, report.generation);
  }
  last_reload_ = std::move(report);
  reloading_ = false;
  follow_files();
  if (reload_again_ && reload()) return;  // the file may have changed since; who asked hears of that one
  if (state_ == State::serving) control::service::ready(status_line());
  if (admin_) admin_->on_reloaded();
}

// With what the last reload read: if it was refused, that is where the mistake will be corrected.
void Gateway::follow_files() {
  const bool all = supervisor_.current()->process.watch;
  const bool wanted = state_ == State::serving && successor_ == nullptr && (all || !certificates_.files().empty());
  if (!wanted) return watch_.reset();
  if (watch_ == nullptr) {
    watch_ = std::make_unique<event::FileWatch>(loop_, [this](const std::string& path) {
      log::info("{} changed: reloading {}", path, options_.config_path);
      reload();
    });
  }
  SourceFiles followed = certificates_;
  if (all) followed.add(sources_);
  watch_->follow(std::move(followed));
}

// --- binary upgrade ---

std::vector<worker::NamedSocket> Gateway::sockets() const {
  std::vector<worker::NamedSocket> all = supervisor_.sockets();
  if (admin_) all.push_back({kAdminSocket, admin_->socket()});
  return all;
}

void Gateway::upgrade() {
  if (state_ != State::serving || successor_ != nullptr) {
    return log::warn("got SIGUSR2: not now: {}", successor_ ? "a new process is starting already" : "ending");
  }
  std::string error;
  successor_ = Successor::start(
      loop_, program_, sockets(), [this](const std::string& failure) { on_successor(failure); }, error);
  if (successor_ == nullptr)
    return log::error("upgrade: {} cannot be started: {}; this process goes on", program_.path, error);
  log::info("got SIGUSR2: upgrade: process {} starts from {}", successor_->pid(), program_.path);
  follow_files();
}

void Gateway::on_successor(const std::string& failure) {
  const std::unique_ptr<Successor> successor = std::move(successor_);
  if (!failure.empty()) {
    follow_files();
    return log::error("upgrade: process {} does not serve: {}; this process goes on", successor->pid(), failure);
  }
  log::info("upgrade: process {} serves; this process ends", successor->pid());
  if (state_ != State::serving) return;
  for (const worker::NamedSocket& each : sockets()) each.socket->keep_file();
  admin_.reset();
  control::service::main_process(successor->pid());
  succeeded_ = true;
  finish();
}

// --- the end ---

void Gateway::drain(bool on) {
  if (state_ != State::serving || asked_to_drain_ == on) return;
  asked_to_drain_ = on;
  log::info("{}", on ? "draining: not ready, and each connection ends with its next answer" : "no longer draining");
  supervisor_.drain(on);
}

void Gateway::finish() {
  state_ = State::draining;
  follow_files();
  if (!succeeded_) control::service::stopping();
  supervisor_.finish([this] { loop_.stop(); });
  grace_.set(loop_.now() + supervisor_.current()->process.shutdown_grace);
}

void Gateway::on_grace_over() {
  log::warn("process.shutdown_grace is over: {} requests are broken off",
            registry_.value(registry_.intern(stats::Family::requests_in_flight)));
  loop_.stop();
}

}  // namespace sluice::cli
