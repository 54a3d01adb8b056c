// messages.hpp - messages on a stream that has none: 4 bytes of length in network byte order (big-endian), then so many bytes.
#pragma once
#include "../tcp.hpp"

namespace tcp {

/// A message as it goes over the wire.
inline std::string framed(const std::string& text) {
    uint32_t length = htonl(uint32_t(text.size()));
    return std::string(reinterpret_cast<char*>(&length), sizeof length) + text;
}

/// What has come, whatever a read brought: half a length, three messages at once.
class Messages {
    static constexpr size_t before_ = sizeof(uint32_t);
    size_t longest_, taken_ = 0;  // so much of bytes_ is done with
    std::string bytes_{};

    size_t left() const { return bytes_.size() - taken_; }
    // The length of the next message, 0 if not all of it is here. Unsigned: whoever sends -1 announces 4294967295 bytes.
    uint32_t announced() const {
        uint32_t length = 0;
        if (left() >= before_) memcpy(&length, &bytes_[taken_], before_);
        return ntohl(length);
    }

public:
    explicit Messages(size_t longest) : longest_(longest) {}
    void add(const char* data, size_t size) {
        bytes_.erase(0, taken_);
        taken_ = 0;
        bytes_.append(data, size);
    }
    /// The next message to `text`, if all of it is here.
    bool next(std::string& text) {
        size_t length = announced();
        if (left() < before_ + length || length > longest_) return false;
        text.assign(bytes_, taken_ + before_, length);
        taken_ += before_ + length;
        return true;
    }
    /// After the last: throws std::length_error if a longer message is announced than we want. Its bytes need not be here.
    void refuse_too_long() const {
        if (announced() <= longest_) return;
        throw std::length_error("message of " + std::to_string(announced()) + " bytes, at most " +
                                std::to_string(longest_));
    }
};

}  // namespace tcp
