//! How a web server serves a policy (RFC 8461 §3.3): complete pieces of configuration, to be copied.

use crate::terms::PolicyDomain;

/// Where the policy is fetched from.
pub(super) fn url(domain: &PolicyDomain) -> String {
    format!("https://{}{PATH}", domain.policy_host())
}

const PATH: &str = "/.well-known/mta-sts.txt";

/// The file on the web server. One folder for each policy host, so that a host of many domains mixes nothing up.
pub(super) fn file(domain: &PolicyDomain) -> String {
    format!("/var/www/{}{PATH}", domain.policy_host())
}

/// A server block for nginx. It answers this one path: a redirect, or a page for what is not there, is no policy.
pub(super) fn nginx(domain: &PolicyDomain) -> String {
    let host = domain.policy_host();
    format!(
        "# First the certificate: certbot certonly --nginx -d {host}
# Then this, as /etc/nginx/conf.d/{host}.conf
server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {host};
    ssl_certificate     /etc/letsencrypt/live/{host}/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/{host}/privkey.pem;
    root /var/www/{host};
    location = {PATH} {{
        types {{ }}
        default_type text/plain;
    }}
    location / {{
        return 404;
    }}
}}
"
    )
}

/// A site for Caddy, which gets the certificate by itself.
pub(super) fn caddy(domain: &PolicyDomain) -> String {
    let host = domain.policy_host();
    format!(
        "# In the Caddyfile; the certificate comes by itself
{host} {{
    root * /var/www/{host}
    header {PATH} Content-Type text/plain
    file_server
}}
"
    )
}

/// What a host of static pages has to do, GitHub Pages as the example.
pub(super) fn static_host(domain: &PolicyDomain) -> String {
    let host = domain.policy_host();
    format!(
        "# A repository with three files, published by GitHub Pages
.well-known/mta-sts.txt   the policy
CNAME                     one line: {host}
.nojekyll                 empty; without it folders that begin with a dot are left out
# Any other host of static pages does as well, if {host} is set as the name of the site, has its own certificate,
# and is not redirected; see what it answers: curl -i {url}
# Asked for: status 200, Content-Type text/plain
",
        url = url(domain)
    )
}
