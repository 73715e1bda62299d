// An OpenID Connect provider for tests: node provider.mjs PORT REDIRECT_URI. Whoever gives a name is that person; the groups follow from it.
import { Provider } from 'oidc-provider';

const [port, redirect, tokenMethod = 'client_secret_basic'] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const groups = (name) => (name.startsWith('op-') ? ['everybody', 'dcvd-operators'] : ['everybody']);

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'dcvd',
      client_secret: 'a secret of the tests: /+ %',
      redirect_uris: [redirect],
      token_endpoint_auth_method: tokenMethod,
    },
  ],
  clientAuthMethods: [tokenMethod],
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  scopes: ['openid', 'profile', 'groups'],
  pkce: { required: () => true },
  // As providers do that keep their tokens small; the rest is at the user-info endpoint.
  conformIdTokenClaims: process.env.CLAIMS !== 'in-token',
  cookies: { keys: ['of the tests alone'] },
  features: { devInteractions: { enabled: true } },
  async findAccount(_context, id) {
    return { accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: groups(id) }) };
  },
  // No page that asks whether we may know: the provider's administrators decided that.
  async loadExistingGrant(context) {
    const grant = new context.oidc.provider.Grant({
      clientId: context.oidc.client.clientId,
      accountId: context.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile groups');
    await grant.save();
    return grant;
  },
});

provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));
