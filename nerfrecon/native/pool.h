// Threads that stay: `run` hands out task numbers and returns when all tasks are done.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace nerf {

class Pool {
   public:
    explicit Pool(int threads);  // the caller's thread is one of them
    ~Pool();
    int threads() const { return int(workers_.size()) + 1; }
    // task(number, thread): numbers 0 .. tasks - 1 in any order. The first exception is thrown again.
    void run(int tasks, const std::function<void(int, int)>& task);

   private:
    void work(int thread);
    void take_tasks(int thread);
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable start_, done_;
    const std::function<void(int, int)>* task_ = nullptr;
    std::atomic<int> next_{0};
    int tasks_ = 0, running_ = 0;
    long round_ = 0;
    bool ends_ = false;
    std::exception_ptr error_;
};

}  // namespace nerf
