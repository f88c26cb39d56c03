#include "worker/supervisor.h"

#include "base/format.h"

namespace sluice::worker {

Supervisor::Supervisor(std::shared_ptr<const snapshot::Snapshot> snapshot, stats::Registry& registry)
    : snapshot_(std::move(snapshot)),
      registry_(registry),
      series_(std::make_shared<const proxy::Series>(proxy::Series::intern(registry, *snapshot_))) {
  for (const auto& listener : snapshot_->listeners) addresses_.push_back(listener.address);
}

Supervisor::~Supervisor() { stop(); }

bool Supervisor::start_log(std::string& error) {
  const snapshot::AccessLogSpec& spec = snapshot_->access_log;
  auto format = proxy::LogFormat::compile(spec, error);
  if (!format) return false;
  log_format_ = std::move(*format);
  if (spec.format == snapshot::AccessLogSpec::Format::off) return true;
  log_writer_ = std::make_unique<proxy::LogWriter>(spec.path, snapshot_->process.workers);
  return log_writer_->start(error);
}

bool Supervisor::start(std::string& error) {
  if (!start_log(error)) return false;
  for (uint32_t i = 0; i < snapshot_->process.workers; ++i) {
    proxy::LogRing* ring = log_writer_ ? &log_writer_->ring(i) : nullptr;
    workers_.push_back(std::make_unique<Worker>(i, WorkerParts{snapshot_, series_, registry_, log_format_, ring}));
    if (Result<void> listening = workers_.back()->listen(addresses_); !listening) {
      error = fmt::format("a listener cannot be opened: {}", listening.error().detail);
      workers_.clear();
      return false;
    }
  }
  for (auto& worker : workers_) worker->start();
  return true;
}

void Supervisor::stop() {
  for (auto& worker : workers_) worker->stop();
  workers_.clear();
  if (log_writer_) log_writer_->stop();
}

}  // namespace sluice::worker
