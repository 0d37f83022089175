# Vertigo for Homebrew, built from source: brew install --HEAD --formula deploy/homebrew/vertigo.rb
class Vertigo < Formula
  desc "Queue, watch and run fine-tuning jobs on a few Macs"
  homepage "https://github.com/adpena/vertigo-lora"
  license "Apache-2.0"
  head "https://github.com/adpena/vertigo-lora.git", branch: "main"

  depends_on "cmake" => :build
  depends_on "rust" => :build
  depends_on xcode: :build
  depends_on arch: :arm64
  depends_on :macos

  def programs
    %w[vertigo vertigo-coordinator vertigo-worker]
  end

  def install
    system "cargo", "build", "--release", "--locked", "--bins",
           "-p", "vertigo-cli", "-p", "vertigo-coordinator", "-p", "vertigo-worker"
    # MLX looks for its kernels beside the program itself, so programs are started where they lie and not by a link.
    kernels = Dir["target/release/build/mlx-sys-*/**/mlx.metallib"].first
    odie "there is no mlx.metallib among what was built" if kernels.nil?
    libexec.install kernels
    programs.each do |program|
      libexec.install "target/release/#{program}"
      bin.write_exec_script libexec/program
      generate_completions_from_executable(libexec/program, "completions", base_name: program, shells: [:bash, :zsh, :fish])
    end
    man1.mkpath
    programs.each { |program| system libexec/program, "man", man1 }
  end

  def caveats
    <<~EOS
      `brew services start vertigo` runs a worker while you are logged in. For one that starts with the machine,
      before anybody logs in, stop it and install the daemon instead:
        sudo vertigo-worker install
      `vertigo doctor` says what is missing.
    EOS
  end

  service do
    run [opt_libexec/"vertigo-worker", "--drain", "30s"]
    keep_alive true
    # What macOS takes for work in the background is kept to slow cores, and Metal goes slower by a factor.
    process_type :interactive
    log_path var/"log/vertigo-worker.log"
    error_log_path var/"log/vertigo-worker.log"
  end

  test do
    programs.each { |program| assert_match program, shell_output("#{bin}/#{program} --version") }
    assert_match "open files", shell_output("#{bin}/vertigo doctor --json")
  end
end
