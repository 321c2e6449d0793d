# dist/pack fills in the version and the hash of the package on crates.io.
class Keyvault < Formula
  desc "Command-line key vault for developers and CI"
  homepage "https://crates.io/crates/keyvault"
  url "https://static.crates.io/crates/keyvault/keyvault-@VERSION@.crate"
  sha256 "@SHA256@"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    generate_completions_from_executable(bin/"keyvault", "completions")
    man1.install Dir["man/*.1"]
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/keyvault --version")
    # Creates a vault in temporary folders, runs commands with keys from it, and removes it.
    system bin/"keyvault", "tour"
  end
end
