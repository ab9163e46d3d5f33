#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"

namespace cofferdam {

namespace {

// In the order of FileOperationKind in lib/base/native.ts.
enum class Kind : uint32_t { kWrite, kMkdir, kRmdir, kRead, kCopy };

// More than a file of the kernel's has; who fills one so is not read to the end.
constexpr size_t kMostRead = 16 << 20;

struct Operation {
  Kind kind;
  std::string path;
  std::string value;  // what to write, or what was read; of a copy, the other file
  std::vector<int> tolerated;
  uint32_t skips = 0;
  int error = 0;
};

// Operations in their order, and what came of them.
class List {
 public:
  explicit List(const Napi::CallbackInfo& info) {
    std::string text = info[0].As<Napi::String>().Utf8Value();
    size_t at = 0;
    bool sound = true;
    auto field = [&]() -> std::string {
      size_t end = text.find('\0', at);
      sound = sound && end != std::string::npos;
      if (!sound) return {};
      std::string found = text.substr(at, end - at);
      at = end + 1;
      return found;
    };
    while (sound && at < text.size()) {
      Operation operation;
      uint32_t kind = number(field(), &sound);
      operation.kind = static_cast<Kind>(kind);
      operation.path = field();
      operation.value = field();
      operation.skips = number(field(), &sound);
      uint32_t tolerated = number(field(), &sound);
      for (; sound && tolerated > 0; tolerated--)
        operation.tolerated.push_back(static_cast<int>(number(field(), &sound)));
      sound = sound && kind <= static_cast<uint32_t>(Kind::kCopy);
      operations_.push_back(std::move(operation));
    }
    if (!sound) throw system_error(info.Env(), 0, EINVAL);
  }

  // Up to the first that fails in a way it does not tolerate.
  void carry_out() {
    for (; done_ < operations_.size(); done_++) {
      Operation& operation = operations_[done_];
      if (carry_out(operation)) continue;
      operation.error = errno;
      const auto& known = operation.tolerated;
      if (std::find(known.begin(), known.end(), operation.error) == known.end()) return;
      done_ = std::min(done_ + operation.skips, operations_.size() - 1);
    }
  }

  // How many were carried out, what was read, and which errors were tolerated, after the place of
  // each; then, if it was not all of them, which call failed of the next, and how.
  Napi::Object result(Napi::Env env) const {
    auto result = Napi::Object::New(env);
    auto texts = Napi::Array::New(env);
    auto tolerated = Napi::Array::New(env);
    for (size_t i = 0; i < done_; i++) {
      const Operation& operation = operations_[i];
      if (operation.error != 0) {
        tolerated.Set(tolerated.Length(), Napi::Number::New(env, static_cast<double>(i)));
        tolerated.Set(tolerated.Length(), Napi::Number::New(env, operation.error));
      } else if (operation.kind == Kind::kRead)
        texts.Set(texts.Length(), Napi::String::New(env, operation.value));
    }
    result.Set("done", Napi::Number::New(env, static_cast<double>(done_)));
    result.Set("texts", texts);
    result.Set("tolerated", tolerated);
    if (done_ < operations_.size()) {
      result.Set("errno", Napi::Number::New(env, operations_[done_].error));
      result.Set("syscall", Napi::String::New(env, call_));
    }
    return result;
  }

 private:
  static uint32_t number(const std::string& text, bool* sound) {
    uint32_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    *sound = *sound && error == std::errc() && end == text.data() + text.size();
    return value;
  }

  bool carry_out(Operation& operation) {
    const char* path = operation.path.c_str();
    switch (operation.kind) {
    case Kind::kMkdir: call_ = "mkdir"; return mkdir(path, 0755) == 0;
    case Kind::kRmdir: call_ = "rmdir"; return rmdir(path) == 0;
    case Kind::kCopy:
      if (!read_other(operation)) return false;
      break;
    default: break;
    }
    return open_and(operation.kind == Kind::kRead, path, operation.value);
  }

  // Reads a file, or writes to it.
  bool open_and(bool reads, const char* path, std::string& value) {
    call_ = "open";
    int fd = open(path, (reads ? O_RDONLY : O_WRONLY) | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return false;
    call_ = reads ? "read" : "write";
    bool well = reads ? read_all(fd, value) : write_once(fd, value);
    int error = errno;
    close(fd);
    errno = error;
    return well;
  }

  // What the other file says is what is to be written; it has to say something.
  bool read_other(Operation& operation) {
    const std::string other = operation.value;
    if (!open_and(true, other.c_str(), operation.value)) return false;
    errno = ENODATA;
    return operation.value.find_first_not_of(" \n") != std::string::npos;
  }

  // A file of the kernel's takes a value whole, in one call.
  static bool write_once(int fd, const std::string& value) {
    ssize_t count;
    do count = write(fd, value.data(), value.size());
    while (count < 0 && errno == EINTR);
    if (count >= 0 && static_cast<size_t>(count) < value.size()) errno = EIO;
    return count == static_cast<ssize_t>(value.size());
  }

  static bool read_all(int fd, std::string& text) {
    for (size_t used = 0;;) {
      text.resize(used + 4096);
      ssize_t count = read(fd, text.data() + used, 4096);
      if (count < 0 && errno == EINTR) continue;
      if (count >= 0) used += static_cast<size_t>(count);
      text.resize(used);
      if (count <= 0) return count == 0;
      if (used > kMostRead) {
        errno = EFBIG;
        return false;
      }
    }
  }

  std::vector<Operation> operations_;
  size_t done_ = 0;
  const char* call_ = "";
};

class Batch : public Napi::AsyncWorker {
 public:
  explicit Batch(const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(info.Env(), "cofferdam:files"),
        list_(info),
        promise_(Napi::Promise::Deferred::New(info.Env())) {}

  Napi::Promise promise() const { return promise_.Promise(); }

 protected:
  void Execute() override { list_.carry_out(); }

  void OnOK() override { promise_.Resolve(list_.result(Env())); }

  // There was no memory for what was read.
  void OnError(const Napi::Error& error) override { promise_.Reject(error.Value()); }

 private:
  List list_;
  Napi::Promise::Deferred promise_;
};


}  // namespace

Napi::Value files(const Napi::CallbackInfo& info) {
  auto* batch = new Batch(info);
  Napi::Promise promise = batch->promise();
  batch->Queue();
  return promise;
}

Napi::Value files_now(const Napi::CallbackInfo& info) {
  List list(info);
  list.carry_out();
  return list.result(info.Env());
}

}  // namespace cofferdam
