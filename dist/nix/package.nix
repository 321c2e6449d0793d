# Builds from the checkout that this file is in; Cargo.lock has the hashes of the dependencies.
{ lib, rustPlatform, installShellFiles }:

let
  root = ../..;
  manifest = lib.importTOML (root + "/Cargo.toml");
in
rustPlatform.buildRustPackage {
  pname = "keyvault";
  version = manifest.workspace.package.version;

  src = lib.cleanSource root;
  cargoLock.lockFile = root + "/Cargo.lock";
  cargoBuildFlags = [ "--bin" "keyvault" ];

  # Nix links against its own C library. .cargo/config.toml would link statically, which needs glibc.static.
  postPatch = ''
    sed -i 's/"-C", "target-feature=+crt-static", //' .cargo/config.toml
  '';

  # The tests use keyrings, terminals, and a kernel keyring, which the sandbox does not have.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];
  postInstall = ''
    installManPage man/*.1
    installShellCompletion --bash --name keyvault completions/keyvault.bash
    installShellCompletion --zsh --name _keyvault completions/_keyvault
    installShellCompletion --fish --name keyvault.fish completions/keyvault.fish
  '';

  meta = {
    description = manifest.package.description;
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "keyvault";
    platforms = lib.platforms.unix;
  };
}
